//! The types that columns have, as ODBC and JDBC drivers ask for them.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{CommandGetXdbcTypeInfo, Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use tonic::Status;

static TYPES: LazyLock<Result<XdbcTypeInfoData, Status>> = LazyLock::new(|| {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    types().into_iter().for_each(|info| builder.append(info));
    Ok(builder.build()?)
});

/// The types, or the one asked for.
pub fn answer(command: CommandGetXdbcTypeInfo) -> Result<RecordBatch, Status> {
    let types = TYPES.as_ref().map_err(Status::clone)?;
    Ok(types.record_batch(command.data_type)?)
}

fn types() -> [XdbcTypeInfo; 5] {
    [
        // Digits and bits as ODBC counts them: 10 is the radix of exact numbers, 2 of others.
        number("BIGINT", XdbcDataType::XdbcBigint, 19, 10),
        number("BOOLEAN", XdbcDataType::XdbcBit, 1, 10),
        number("DOUBLE PRECISION", XdbcDataType::XdbcDouble, 53, 2),
        XdbcTypeInfo {
            literal_prefix: Some("TIMESTAMP '".into()),
            literal_suffix: Some("'".into()),
            minimum_scale: Some(0),
            maximum_scale: Some(9),
            datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone),
            sql_data_type: XdbcDataType::XdbcDatetime,
            ..named("TIMESTAMP WITH TIME ZONE", XdbcDataType::XdbcTimestamp, 35)
        },
        XdbcTypeInfo {
            literal_prefix: Some("'".into()),
            literal_suffix: Some("'".into()),
            case_sensitive: true,
            ..named("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX)
        },
    ]
}

fn named(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.into(),
        data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.into()),
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, data_type: XdbcDataType, size: i32, radix: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        ..named(name, data_type, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_can_be_asked_for() {
        let rows = |data_type| answer(CommandGetXdbcTypeInfo { data_type }).unwrap().num_rows();
        assert_eq!(rows(None), 5);
        assert_eq!(rows(Some(XdbcDataType::XdbcVarchar.into())), 1);
        assert_eq!(rows(Some(XdbcDataType::XdbcDate.into())), 0);
    }
}
