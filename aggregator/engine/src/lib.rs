//! The query engine and the table format. Only `ridealong-lake` and `ridealong-query` depend on this package, so that an
//! edit anywhere else never waits for it; here the whole set is declared, so that it compiles once.

pub use datafusion;
pub use datafusion_functions_json;
pub use deltalake;
