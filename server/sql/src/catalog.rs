//! The names that SQL sees: catalog `tagus`, schema `public`, and `information_schema`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::Result;

use crate::output::plain_schema;
use crate::samples::Samples;
use crate::tables::{Listing, ListingTable};

/// The catalog of every table.
pub const CATALOG: &str = "tagus";
/// The schema of every table.
pub const SCHEMA: &str = "public";

/// The tables, by name.
fn providers() -> [(&'static str, Arc<dyn TableProvider>); 3] {
    let listing = |listing: Listing| {
        let table: Arc<dyn TableProvider> = Arc::new(ListingTable::new(listing));
        (listing.name(), table)
    };
    [listing(Listing::CurrentValues), ("samples", Arc::new(Samples)), listing(Listing::Tags)]
}

/// The tables, by name, with the schemas that their columns have at the doors.
pub(crate) fn tables() -> Vec<(&'static str, SchemaRef)> {
    providers().into_iter().map(|(name, table)| (name, plain_schema(&table.schema()))).collect()
}

/// All catalogs of a session.
///
/// What `information_schema` describes are stand-ins with the plain types: the dictionaries inside
/// plans are nobody's business.
pub(crate) fn catalogs() -> Result<Arc<dyn CatalogProviderList>> {
    let described = catalog_of(providers().map(|(name, table)| {
        let stand_in: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(plain_schema(&table.schema())));
        (name, stand_in)
    }))?;
    let described_list: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
    described_list.register_catalog(CATALOG.to_owned(), described);
    let catalog = catalog_of(providers())?;
    catalog.register_schema("information_schema", Arc::new(InformationSchemaProvider::new(described_list)))?;
    let list: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
    list.register_catalog(CATALOG.to_owned(), catalog);
    Ok(list)
}

fn catalog_of(
    tables: impl IntoIterator<Item = (&'static str, Arc<dyn TableProvider>)>,
) -> Result<Arc<dyn CatalogProvider>> {
    let schema = MemorySchemaProvider::new();
    for (name, table) in tables {
        schema.register_table(name.to_owned(), table)?;
    }
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::new(schema))?;
    Ok(Arc::new(catalog))
}
