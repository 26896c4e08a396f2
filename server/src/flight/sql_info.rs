//! What the server says about itself. Drivers take a missing answer worse than a modest one, so
//! every question of the protocol has an answer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetSqlInfo, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
    SqlSupportsConvert, SqlTransactionIsolationLevel,
};
use tonic::Status;

use crate::limits;

/// Functions by what drivers file them under.
pub const NUMERIC: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "cbrt", "ceil", "cos", "cot", "degrees", "exp", "floor", "ln", "log",
    "log10", "log2", "pi", "power", "radians", "random", "round", "signum", "sin", "sqrt", "tan", "trunc",
];
/// Functions of strings.
pub const STRING: &[&str] = &[
    "ascii",
    "btrim",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "regexp_like",
    "regexp_replace",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "translate",
    "trim",
    "upper",
];
/// Functions of times.
pub const DATETIME: &[&str] = &[
    "current_date",
    "current_time",
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "now",
    "to_char",
    "to_date",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
];
/// Functions of the system.
pub const SYSTEM: &[&str] = &["arrow_typeof", "coalesce", "greatest", "least", "nullif", "nvl", "version"];

/// Keywords beyond those of standard SQL.
const KEYWORDS: &[&str] = &["ANALYZE", "DESCRIBE", "EXPLAIN", "ILIKE", "LIMIT", "OFFSET", "QUALIFY", "SHOW"];

static INFO: LazyLock<Result<SqlInfoData, Status>> = LazyLock::new(|| {
    let mut builder = SqlInfoDataBuilder::new();
    server(&mut builder);
    language(&mut builder);
    names(&mut builder);
    abilities(&mut builder);
    sizes(&mut builder);
    transactions(&mut builder);
    Ok(builder.build()?)
});

/// The answers asked for, or all.
pub fn answer(command: CommandGetSqlInfo) -> Result<RecordBatch, Status> {
    let info = INFO.as_ref().map_err(Status::clone)?;
    Ok(command.into_builder(info).build()?)
}

fn server(builder: &mut SqlInfoDataBuilder) {
    builder.append(SqlInfo::FlightSqlServerName, "tagus");
    builder.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    builder.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    builder.append(SqlInfo::FlightSqlServerReadOnly, true);
    builder.append(SqlInfo::FlightSqlServerSql, true);
    builder.append(SqlInfo::FlightSqlServerSubstrait, false);
    builder.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    builder.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    builder.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    builder.append(SqlInfo::FlightSqlServerCancel, false);
    builder.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    builder.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    // No timeout.
    builder.append(SqlInfo::FlightSqlServerStatementTimeout, 0);
    builder.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
}

fn language(builder: &mut SqlInfoDataBuilder) {
    builder.append(SqlInfo::SqlKeywords, KEYWORDS);
    builder.append(SqlInfo::SqlNumericFunctions, NUMERIC);
    builder.append(SqlInfo::SqlStringFunctions, STRING);
    builder.append(SqlInfo::SqlSystemFunctions, SYSTEM);
    builder.append(SqlInfo::SqlDatetimeFunctions, DATETIME);
    builder.append(SqlInfo::SqlSupportsConvert, conversions());
    // The grammar and conformance levels all include statements that write: none is met in full.
    builder.append(SqlInfo::SqlSupportedGrammar, 0);
    builder.append(SqlInfo::SqlAnsi92SupportedLevel, 0);
}

/// Casts between the types that columns have.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert::*;
    let numbers = [SqlConvertBigint, SqlConvertFloat, SqlConvertVarchar];
    let texts = [SqlConvertBigint, SqlConvertBit, SqlConvertFloat, SqlConvertTimestamp, SqlConvertVarchar];
    let casts: [(SqlSupportsConvert, &[SqlSupportsConvert]); 5] = [
        (SqlConvertBigint, &numbers),
        (SqlConvertFloat, &numbers),
        (SqlConvertBit, &[SqlConvertBigint, SqlConvertBit, SqlConvertVarchar]),
        (SqlConvertTimestamp, &[SqlConvertTimestamp, SqlConvertVarchar]),
        (SqlConvertVarchar, &texts),
    ];
    casts.into_iter().map(|(from, to)| (from.into(), to.iter().map(|to| i32::from(*to)).collect())).collect()
}

fn names(builder: &mut SqlInfoDataBuilder) {
    builder.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    builder.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    // The protocol has no word for "kept as written".
    builder.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    builder.append(SqlInfo::SqlSearchStringEscape, "\\");
    builder.append(SqlInfo::SqlExtraNameCharacters, "");
    builder.append(SqlInfo::SqlCatalogTerm, "catalog");
    builder.append(SqlInfo::SqlSchemaTerm, "schema");
    builder.append(SqlInfo::SqlProcedureTerm, "");
    builder.append(SqlInfo::SqlCatalogAtStart, true);
    // The places asked about are procedure calls, index and privilege definitions: none is there.
    builder.append(SqlInfo::SqlSchemasSupportedActions, 0);
    builder.append(SqlInfo::SqlCatalogsSupportedActions, 0);
}

fn abilities(builder: &mut SqlInfoDataBuilder) {
    for name in [
        SqlInfo::SqlAllTablesAreSelectable,
        SqlInfo::SqlSupportsColumnAliasing,
        SqlInfo::SqlNullPlusNullIsNull,
        SqlInfo::SqlSupportsTableCorrelationNames,
        SqlInfo::SqlSupportsExpressionsInOrderBy,
        SqlInfo::SqlSupportsOrderByUnrelated,
        SqlInfo::SqlSupportsLikeEscapeClause,
        SqlInfo::SqlCorrelatedSubqueriesSupported,
    ] {
        builder.append(name, true);
    }
    for name in [
        SqlInfo::SqlDdlCatalog,
        SqlInfo::SqlDdlSchema,
        SqlInfo::SqlDdlTable,
        SqlInfo::SqlSupportsDifferentTableCorrelationNames,
        SqlInfo::SqlSupportsNonNullableColumns,
        SqlInfo::SqlSupportsIntegrityEnhancementFacility,
        SqlInfo::SqlSelectForUpdateSupported,
        SqlInfo::SqlStoredProceduresSupported,
        SqlInfo::SqlBatchUpdatesSupported,
        SqlInfo::SqlNamedParametersSupported,
        SqlInfo::SqlLocatorsUpdateCopy,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        builder.append(name, false);
    }
    builder.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    // Columns outside the select list, and beyond it.
    builder.append(SqlInfo::SqlSupportedGroupBy, 0b11);
    // Limited and full outer joins.
    builder.append(SqlInfo::SqlOuterJoinsSupportLevel, 0b110);
    // In comparisons, EXISTS and IN; not with ANY and ALL.
    builder.append(SqlInfo::SqlSupportedSubqueries, 0b111);
    // UNION and UNION ALL.
    builder.append(SqlInfo::SqlSupportedUnions, 0b11);
    builder.append(SqlInfo::SqlSupportedPositionedCommands, 0);
    // Forward only, read only.
    builder.append(SqlInfo::SqlSupportedResultSetTypes, 0b10);
    builder.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0);
    builder.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, 0b10);
    builder.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0);
    builder.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0);
}

fn sizes(builder: &mut SqlInfoDataBuilder) {
    let longest = i64::try_from(limits::SQL_BYTES_MAX).unwrap_or(0);
    builder.append(SqlInfo::SqlMaxStatementLength, longest);
    // Zero says that there is no limit, or none that is known.
    for name in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        builder.append(name, 0_i64);
    }
    builder.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(builder: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    builder.append(SqlInfo::SqlDefaultTransactionIsolation, none);
    builder.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, 1 << none);
    builder.append(SqlInfo::SqlTransactionsSupported, false);
    builder.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    builder.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    builder.append(SqlInfo::SqlSavepointsSupported, false);
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::UInt32Type;

    use super::*;

    #[test]
    fn every_question_of_the_protocol_has_an_answer() {
        let all = answer(CommandGetSqlInfo { info: Vec::new() }).unwrap();
        let answered: Vec<u32> = all.column(0).as_primitive::<UInt32Type>().values().to_vec();
        let asked: Vec<u32> = (0..2000).filter(|n| SqlInfo::try_from(*n as i32).is_ok()).collect();
        assert_eq!(answered, asked);
        assert!(asked.len() > 90);
    }

    #[test]
    fn some_can_be_asked_for() {
        let command = CommandGetSqlInfo { info: vec![SqlInfo::FlightSqlServerName as u32, 99_999] };
        assert_eq!(answer(command).unwrap().num_rows(), 1);
    }
}
