//! What is taken for a secret by its name: fields of heads, and parameters of a query. A leaf.
//!
//! Bias: a word of the name is enough. What is hidden without need can be looked up at its source;
//! what got out cannot be taken back.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use percent_encoding::percent_decode;

/// Parts of names, in lower case.
const WORDS: [&str; 18] = [
    "token",
    "secret",
    "passw",
    "apikey",
    "api-key",
    "api_key",
    "signature",
    "credential",
    "accesskey",
    "access-key",
    "access_key",
    "private_key",
    "functions-key",
    "subscription-key",
    "authorization",
    "session",
    "assertion",
    "jwt",
];

/// Longest name that is looked at: the longest in use have some 30 bytes.
pub const LONGEST_NAME: usize = 64;

/// Whether a field of that name authorises: of HTTP or RPC, in any case.
pub fn is_field(name: &[u8]) -> bool {
    let exact = ["cookie", "cookie2", "set-cookie", "set-cookie2", "x-auth"];
    let is = |word: &&str| name.eq_ignore_ascii_case(word.as_bytes());
    exact.iter().any(is) || holds_word(name)
}

/// Whether a parameter of that name signs or authorises, as it stands or percent-encoded. The conventions'
/// list, and those that begin the same way everywhere.
pub fn is_parameter(name: &[u8]) -> bool {
    let decoded: Cow<'_, [u8]> = match name.contains(&b'%') {
        true => percent_decode(name).into(),
        false => name.into(),
    };
    let name = &decoded[..];
    let exact = [
        "sig",
        "auth",
        "pwd",
        "pass",
        "key",
        "sid",
        "phpsessid",
        "samlresponse",
    ];
    let is = |word: &&str| name.eq_ignore_ascii_case(word.as_bytes());
    exact.iter().any(is) || holds_word(name)
}

fn holds_word(name: &[u8]) -> bool {
    /// Each parameter of each query comes by here: one pass, however many words there are.
    static IN_NAME: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let mut builder = AhoCorasick::builder();
        builder.ascii_case_insensitive(true).build(WORDS).ok()
    });
    let name = &name[..name.len().min(LONGEST_NAME)];
    IN_NAME.as_ref().is_none_or(|words| words.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_authorise() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "Cookie",
            "set-cookie",
            "X-Api-Key",
            "x-auth-token",
            "gdpr-token",
            "X-CSRF-Token",
            "Ocp-Apim-Subscription-Key",
            "X-Goog-IAP-JWT-Assertion",
        ] {
            assert!(is_field(name.as_bytes()), "{name}");
        }
        for name in [
            ":authority",
            "traceparent",
            "tracestate",
            "b3",
            "x-b3-traceid",
            "uber-trace-id",
            "sw8",
            "x-datadog-trace-id",
            "x-amzn-trace-id",
            "grpc-trace-bin",
            "content-type",
            "rpc-transit-gateway",
            "idempotency-key",
            "sec-websocket-key",
            "",
        ] {
            assert!(!is_field(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn parameters_that_authorise() {
        for name in [
            "token",
            "access_token",
            "sig",
            "Signature",
            "X-Amz-Credential",
            "X-Amz-Security-Token",
            "X-Goog-Signature",
            "AWSAccessKeyId",
            "api_key",
            "password",
            "%74oken",
            "key",
            "jsessionid",
        ] {
            assert!(is_parameter(name.as_bytes()), "{name}");
        }
        for name in [
            "id", "q", "page", "signal", "design", "author", "keyword", "100%",
        ] {
            assert!(!is_parameter(name.as_bytes()), "{name}");
        }
    }
}
