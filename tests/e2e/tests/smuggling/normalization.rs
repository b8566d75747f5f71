//! Names that some services take for others: they never arrive beside the one that counts.

use crate::case::{Case, Check, get, post, seen};

pub fn cases() -> Vec<Case> {
    let beside = |id, line: &str| post(id, &format!("Content-Length: 11\r\n{line}\r\n"), "hello world");
    let dropped = |id, line: &str, name| {
        beside(id, line).either(&[400], [seen("POST", "hello world")]).checks([Check::Lacks(name)])
    };
    let forwarded = |id, line: &str, name| get(id, line).served([seen("GET", "")]).checks([Check::Lacks(name)]);
    vec![
        dropped("NORM-UNDERSCORE-CL", "Content_Length: 99", "content_length"),
        dropped("NORM-UNDERSCORE-TE", "Transfer_Encoding: chunked", "transfer_encoding"),
        dropped("SMUG-TRANSFER_ENCODING", "TRANSFER_ENCODING: chunked", "transfer_encoding"),
        beside("NORM-SP-BEFORE-COLON-CL", "Content-Length : 5"),
        beside("NORM-TAB-IN-NAME", "Content\tLength: 99"),
        beside("NORM-CASE-TE", "TRANSFER-ENCODING: chunked"),
        beside("PROXY-CASE-CL", "CONTENT-LENGTH: 5"),
        forwarded("PROXY-UNDERSCORE-FORWARDED-FOR", "X_Forwarded_For: 6.6.6.6\r\n", "x_forwarded_for"),
        forwarded("PROXY-UNDERSCORE-FORWARDED-PROTO", "X_Forwarded-Proto: https\r\n", "x_forwarded-proto"),
        forwarded("PROXY-UNDERSCORE-FORWARDED-HOST", "X-Forwarded_Host: evil.test\r\n", "x-forwarded_host"),
        forwarded("PROXY-UNDERSCORE-REQUEST-ID", "X_Request_ID: mine\r\n", "x_request_id"),
        get("PROXY-UNDERSCORE-OTHER", "X_Mine: kept\r\n")
            .served([seen("GET", "")])
            .checks([Check::Has("x_mine", "kept")]),
    ]
}
