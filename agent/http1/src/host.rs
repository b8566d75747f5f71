//! `Host`: `uri-host [":" port]` (RFC 3986, 3.2), not empty, since an HTTP URL always has a host.

pub fn is_valid_host(host: &[u8]) -> bool {
    let (name_is_valid, rest) = if host.first() == Some(&b'[') {
        let end = host.iter().position(|byte| *byte == b']').unwrap_or(0);
        let is_address = host[..end].iter().skip(1).all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte));
        (end > 2 && is_address, host.get(end + 1..).unwrap_or_default())
    } else {
        let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
        (end > 0 && host[..end].iter().all(is_host_byte), &host[end..])
    };
    let port_is_valid = match rest {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name_is_valid && port_is_valid
}

/// Without the comma, which RFC 3986 allows: two hosts in one line are two hosts.
fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte)
}
