//! Routes that the user gives (`--route`), as no framework can be asked for its own.
//!
//! A pattern is written as frameworks write it, and stands on spans as it was written. Between
//! slashes, `{id}`, `:id` and `<id>` are any text, `{id}` also with text before or after it; at the
//! end, `*`, `{*rest}`, `{rest...}`, `{rest:path}` and `<path:rest>` are whatever follows. What a
//! placeholder may be beyond that (a number, a regular expression) is not looked at.

use std::borrow::Cow;

use matchit::InsertError;

/// The routes of all traced services. Of several that match a path, the one with more said
/// literally counts, as in frameworks: `/users/me` before `/users/{id}` before `/users/*`.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    router: Option<matchit::Router<String>>,
}

impl Routes {
    /// From patterns.
    ///
    /// # Errors
    ///
    /// What is wrong with which of them, as one line.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut routes = Routes::default();
        for pattern in patterns {
            let router = routes.router.get_or_insert_default();
            add(pattern, router).map_err(|reason| format!("'{pattern}' {reason}"))?;
        }
        Ok(routes)
    }

    /// The pattern that a path matches.
    pub(super) fn of(&self, path: &str) -> Option<&str> {
        let matched = self.router.as_ref()?.at(path).ok()?;
        Some(matched.value)
    }
}

fn add(pattern: &str, router: &mut matchit::Router<String>) -> Result<(), &'static str> {
    if !pattern.starts_with('/') {
        return Err("does not begin with a slash, as /users/{id} does");
    }
    let segments: Vec<_> = pattern.split('/').collect();
    let last = segments.len() - 1;
    let written: Vec<_> = (segments.iter().enumerate())
        .map(|(index, segment)| placeholder(segment, index == last))
        .collect();
    let inserted = router.insert(written.join("/"), pattern.to_owned());
    inserted.map_err(|error| match error {
        InsertError::Conflict { .. } => "takes the same paths as another route",
        InsertError::InvalidParamSegment => "has two placeholders between two slashes",
        InsertError::InvalidCatchAll => "has more behind its placeholder for all that follows",
        _ => "has braces that hold no name",
    })
}

/// A pattern's segment as the router wants it: `{name}`, or `{*name}` for all that follows.
fn placeholder(segment: &str, last: bool) -> Cow<'_, str> {
    let inner = |open, close| segment.strip_prefix(open)?.strip_suffix(close);
    let braces = inner("{", "}").filter(|name| !name.contains(['{', '}']));
    if last {
        let rest = segment == "*"
            || braces.is_some_and(|name| name.ends_with("...") || name.ends_with(":path"))
            || inner("<", ">").is_some_and(|name| name.starts_with("path:"));
        if rest {
            return "{*rest}".into();
        }
    }
    let name = segment.strip_prefix(':').or_else(|| inner("<", ">"));
    match name {
        Some("") | None => segment.into(),
        Some(name) => format!("{{{name}}}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frameworks_ways_to_write_a_route() {
        let patterns = [
            "/users/{id}",
            "/users/me",
            "/users/{user}/orders/{order}",
            "/express/:id/items",
            "/flask/<int:id>",
            "/files/*",
            "/go/{path...}",
            "/axum/{*path}",
            "/starlette/{path:path}",
            "/django/<path:rest>",
            "/reports/{name}.pdf",
            "/",
        ];
        let routes = Routes::new(patterns).unwrap();
        for (path, pattern) in [
            ("/users/42", "/users/{id}"),
            ("/users/me", "/users/me"),
            ("/users/a%20b", "/users/{id}"),
            ("/users/42/orders/7", "/users/{user}/orders/{order}"),
            ("/express/x/items", "/express/:id/items"),
            ("/flask/8", "/flask/<int:id>"),
            ("/files/a/b/c.txt", "/files/*"),
            ("/go/a/b", "/go/{path...}"),
            ("/axum/a/b", "/axum/{*path}"),
            ("/starlette/a/b", "/starlette/{path:path}"),
            ("/django/a/b", "/django/<path:rest>"),
            ("/reports/2024.pdf", "/reports/{name}.pdf"),
            ("/", "/"),
        ] {
            assert_eq!(routes.of(path), Some(pattern), "{path}");
        }
        for path in ["/users", "/users/", "/users/42/", "/files/", "/x", "x", ""] {
            assert_eq!(routes.of(path), None, "{path}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_said() {
        for (pattern, reason) in [
            ("users/{id}", "begin with a slash"),
            ("", "begin with a slash"),
            ("/users/{id", "braces"),
            ("/users/{}", "braces"),
            ("/{a}-{b}", "two placeholders"),
            ("/{*all}/x", "all that follows"),
        ] {
            let said = Routes::new([pattern]).unwrap_err();
            assert!(said.contains(reason), "{pattern}: {said}");
            assert!(said.contains(&format!("'{pattern}'")), "{said}");
        }
        let said = Routes::new(["/users/{id}", "/users/:name"]).unwrap_err();
        assert!(said.contains("same paths"), "{said}");
    }

    #[test]
    fn without_patterns_nothing_matches() {
        assert_eq!(Routes::default().of("/"), None);
        assert_eq!(Routes::new([]).unwrap().of("/"), None);
    }
}
