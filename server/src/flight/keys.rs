//! Keys: what tells the rows of a table apart. There are no foreign keys.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::CommandGetPrimaryKeys;
use tonic::Status;

use super::tables::{CATALOG, SCHEMA};

/// The columns that tell the rows of a table apart.
const KEYS: [(&str, &[&str]); 3] = [("current_values", &["tag"]), ("samples", &["tag", "time"]), ("tags", &["tag"])];

/// The primary key of a table, in order of its columns; no rows for a table that is not there.
pub fn primary(command: &CommandGetPrimaryKeys) -> Result<RecordBatch, Status> {
    let here = command.catalog.as_deref().is_none_or(|c| c == CATALOG)
        && command.db_schema.as_deref().is_none_or(|s| s == SCHEMA);
    let table = KEYS.into_iter().find(|(name, _)| here && *name == command.table);
    let (name, columns) = table.unwrap_or_default();
    let repeated = |text: &str| Arc::new(StringArray::from_iter_values(columns.iter().map(|_| text))) as ArrayRef;
    let rows: Vec<ArrayRef> = vec![
        repeated(CATALOG),
        repeated(SCHEMA),
        repeated(name),
        Arc::new(StringArray::from_iter_values(columns)),
        repeated(&format!("{name}_key")),
        Arc::new(Int32Array::from_iter_values((1..).take(columns.len()))),
    ];
    let schema = Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]);
    super::batch(&Arc::new(schema), rows)
}

/// No foreign keys, in the columns that the protocol gives them.
pub fn foreign() -> Result<RecordBatch, Status> {
    let schema = Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]);
    Ok(RecordBatch::new_empty(Arc::new(schema)))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    fn columns(catalog: Option<&str>, table: &str) -> Vec<String> {
        let command =
            CommandGetPrimaryKeys { catalog: catalog.map(str::to_owned), db_schema: None, table: table.to_owned() };
        let batch = primary(&command).unwrap();
        batch.column(3).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }

    #[test]
    fn keys_are_those_of_the_table_asked_for() {
        assert_eq!(columns(None, "samples"), ["tag", "time"]);
        assert_eq!(columns(Some("tagus"), "tags"), ["tag"]);
        assert!(columns(Some("other"), "tags").is_empty());
        assert!(columns(None, "nothing").is_empty());
        assert_eq!(foreign().unwrap().num_rows(), 0);
    }
}
