//! `GET /docs`: the description as a page to read. One file, nothing loaded from elsewhere; it also works once saved.

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::description::Served;
use crate::description::problems::{Fails, Nothing};

const PAGE: &str = include_str!("docs/page.html");
/// Where the description goes.
const PLACE: &str = "{{description}}";
const MEDIA_TYPE: &str = "text/html; charset=utf-8";
/// Nothing but what the page itself holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The API as a page to read
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "description",
    responses((status = 200, body = String, content_type = "text/html", description = "One page"), Fails<Nothing>))]
pub(crate) async fn docs(Extension(document): Extension<Served>) -> Response {
    let page = page(&String::from_utf8_lossy(&document.0));
    ([(header::CONTENT_TYPE, MEDIA_TYPE), (header::CONTENT_SECURITY_POLICY, POLICY)], page).into_response()
}

/// In a script a text must not end it.
fn page(description: &str) -> String {
    PAGE.replacen(PLACE, &description.replace('<', "\\u003c"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi;

    #[test]
    fn the_page_holds_all_of_it_and_loads_nothing() {
        let page = page(&openapi());
        assert!(!page.contains(PLACE) && page.contains("\"operationId\": \"query\""));
        for stray in ["src=", "href=\"http", "@import", "url(", "fetch("] {
            assert!(!PAGE.contains(stray), "{stray}");
        }
        let script = page.split("type=\"application/json\">").nth(1).and_then(|rest| rest.split("</script>").next());
        serde_json::from_str::<serde_json::Value>(script.expect("a script")).expect("JSON");
    }
}
