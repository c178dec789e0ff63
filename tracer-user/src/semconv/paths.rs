//! What the path of an HTTP request is called on spans: the user's route, else a template made of
//! the path; and that these never become too many.
//!
//! The conventions know `http.route` on servers, which only the framework, or its user, can tell, and
//! `url.template` on clients. A template is derived from the outside, so it is never given out as a
//! route: on servers it stands in `url.template`, too, and a client's route stands there as well.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::route::Routes;
use super::text::of_url;
use super::url::{Target, redacted_path};
use super::{System, template};
use crate::span::{Kind, Span};

/// Most different names directly below one folder of a service's paths. An interface with more is
/// rare; words beyond that are somebody's data, and would become as many names.
const NAMES_OF_FOLDER: u16 = 100;

/// Most different names of a service, folders included: interfaces of large products have some 500
/// paths. Times methods, that is what a backend lists, and some 100 KiB here.
const NAMES_OF_SERVICE: usize = 1000;

/// Most services whose names are kept: more than run on one host. The one that was silent longest
/// makes room, and if it comes back its names are found anew.
const SERVICES: usize = 256;

/// A path's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathName<'a> {
    /// The pattern of the user's that it matches.
    Route(&'a str),
    /// Made of the path; ends in `/*` below a folder that has too many names.
    Template(&'a str),
}

impl<'a> PathName<'a> {
    /// The name itself, low in cardinality.
    pub fn as_str(self) -> &'a str {
        let (PathName::Route(name) | PathName::Template(name)) = self;
        name
    }

    /// The attribute that it goes to, on spans and metrics of that kind.
    pub fn attribute(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (PathName::Route(_), Kind::Server) => "http.route",
            (PathName::Route(_), Kind::Client) | (PathName::Template(_), _) => "url.template",
        }
    }
}

/// Names paths, and keeps which names each service has.
#[derive(Debug, Default)]
pub struct Paths {
    routes: Routes,
    services: Services,
    /// The name under way.
    name: String,
    cut: u64,
}

impl Paths {
    /// By these routes, and templates where none matches.
    pub fn new(routes: Routes) -> Self {
        Paths {
            routes,
            ..Paths::default()
        }
    }

    /// The name of the path that a span's request asks for; none if it is no HTTP request, or its
    /// path is not known.
    pub fn name(&mut self, span: &Span) -> Option<PathName<'_>> {
        if System::of(span) != System::Http {
            return None;
        }
        let head = span.http_request()?;
        let path = Target::parse(head.method(), head.target()).path;
        if !path.starts_with(b"/") {
            return None;
        }
        let path = redacted_path(of_url(path));
        if let Some(route) = self.routes.of(&path) {
            return Some(PathName::Route(route));
        }
        self.name.clear();
        template::of(&path, &mut self.name);
        let names = self.services.names_of(&span.resource.service_name);
        if let Err(folder) = names.admit(&self.name) {
            self.cut += 1;
            self.name.truncate(folder);
            self.name.push_str("/*");
        }
        Some(PathName::Template(&self.name))
    }

    /// How many requests were named after a folder, as it has too many names.
    pub fn cut(&self) -> u64 {
        self.cut
    }
}

/// The names of each service.
#[derive(Debug, Default)]
struct Services {
    by_name: HashMap<Box<str>, Names, RandomState>,
    /// How often one was asked for.
    clock: u64,
}

impl Services {
    fn names_of(&mut self, service: &str) -> &mut Names {
        if self.by_name.len() > SERVICES {
            let silent = self.by_name.iter().min_by_key(|(_, names)| names.used);
            if let Some(silent) = silent.map(|(service, _)| service.clone()) {
                self.by_name.remove(&silent);
            }
        }
        self.clock += 1;
        let names = self.by_name.entry_ref(service).or_default();
        names.used = self.clock;
        names
    }
}

/// The names of a service, and of how many each is the folder. The empty one is above all.
#[derive(Debug, Default)]
struct Names {
    children: HashMap<Box<str>, u16, RandomState>,
    /// When it was last asked, see [`Services::clock`].
    used: u64,
}

impl Names {
    /// Whether there is room for that name, or it is known already.
    ///
    /// # Errors
    ///
    /// The length of the folder below which there is none.
    fn admit(&mut self, name: &str) -> Result<(), usize> {
        if self.children.contains_key(name) {
            return Ok(());
        }
        let mut folder = 0;
        let ends = memchr::memchr_iter(b'/', &name.as_bytes()[1..]).map(|at| at + 1);
        for end in ends.chain([name.len()]) {
            if !self.children.contains_key(&name[..end]) {
                // Values have one name, however many they are.
                let value = name[folder..end].starts_with("/{");
                let siblings = self.children.entry_ref(&name[..folder]).or_default();
                if *siblings >= NAMES_OF_FOLDER && !value {
                    return Err(folder);
                }
                *siblings = siblings.saturating_add(1);
                if self.children.len() > NAMES_OF_SERVICE {
                    return Err(folder);
                }
                self.children.insert(name[..end].into(), 0);
            }
            folder = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::export::samples;
    use crate::protocol::http::{Head, Version};

    fn span(service: &str, method: &str, target: &str) -> Span {
        let head = Head::request(method.as_bytes(), target.as_bytes(), Version::Http11);
        Span {
            resource: samples::resource(7, service),
            request: Some(head.into()),
            ..samples::server()
        }
    }

    fn name(paths: &mut Paths, target: &str) -> String {
        let name = paths.name(&span("shop", "GET", target));
        name.map_or(String::new(), |name| name.as_str().to_owned())
    }

    #[test]
    fn the_path_alone_is_named() {
        let mut paths = Paths::default();
        assert_eq!(name(&mut paths, "/users/7?q=/x/8"), "/users/{id}");
        assert_eq!(name(&mut paths, "http://h:80/users/7"), "/users/{id}");
        for nameless in ["*", "", "users"] {
            assert_eq!(name(&mut paths, nameless), "", "{nameless}");
        }
        let connect = span("shop", "CONNECT", "h:443");
        assert_eq!(paths.name(&connect), None);
        let call = samples::rpc::grpc_server();
        assert_eq!(paths.name(&call), None);
    }

    #[test]
    fn a_route_goes_before_a_template() {
        let routes = Routes::new(["/users/{name}"]).unwrap();
        let mut paths = Paths::new(routes);
        let mut named = |target| {
            let name = paths.name(&span("shop", "GET", target)).unwrap();
            let attributes = [Kind::Server, Kind::Client].map(|kind| name.attribute(kind));
            (name.as_str().to_owned(), attributes)
        };
        let route = ("/users/{name}".to_owned(), ["http.route", "url.template"]);
        assert_eq!(named("/users/ann"), route);
        assert_eq!(named("/users/7?x"), route);
        let template = ("/users/{id}/x".to_owned(), ["url.template"; 2]);
        assert_eq!(named("/users/7/x"), template);
    }

    #[test]
    fn ids_make_few_names() {
        let mut paths = Paths::default();
        let names: HashSet<String> = (0..100_000)
            .map(|n| match n % 4 {
                0 => format!("/users/{n}"),
                1 => format!("/orders/{n:08x}-0000-4000-8000-{n:012x}/items/{n}"),
                2 => format!("/carts/cart-{n}"),
                _ => format!(
                    "/blobs/{:016x}",
                    (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                ),
            })
            .map(|path| name(&mut paths, &path))
            .collect();
        let mut names: Vec<_> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        let expected = [
            "/blobs/{id}",
            "/carts/cart-{id}",
            "/orders/{id}/items/{id}",
            "/users/{id}",
        ];
        assert_eq!(names, expected);
        assert_eq!(paths.cut(), 0);
    }

    /// A name without digits for each number.
    fn word(number: usize) -> String {
        let letter = |shift| char::from(b'g' + (number / 20_usize.pow(shift) % 20) as u8);
        (0..5).map(letter).collect()
    }

    #[test]
    fn words_beyond_the_bound_share_their_folders_name() {
        let mut paths = Paths::default();
        let names: HashSet<String> = (0..100_000)
            .map(|n| name(&mut paths, &format!("/wiki/{}/edit", word(n))))
            .collect();
        assert_eq!(names.len(), usize::from(NAMES_OF_FOLDER) + 1);
        assert!(names.contains("/wiki/*"));
        assert_eq!(paths.cut(), 100_000 - u64::from(NAMES_OF_FOLDER));
        // Whatever else there is keeps its name: what is known, what is elsewhere, what is a value.
        assert_eq!(
            name(&mut paths, &format!("/wiki/{}/edit", word(3))),
            "/wiki/jgggg/edit"
        );
        assert_eq!(name(&mut paths, "/users/7"), "/users/{id}");
        assert_eq!(name(&mut paths, "/wiki/7/edit"), "/wiki/{id}/edit");
    }

    #[test]
    fn a_service_has_so_many_names_in_all() {
        let mut paths = Paths::default();
        let names: HashSet<String> = (0..100_000)
            .map(|n| format!("/{}/{}/{}", word(n % 50), word(n / 50 % 50), word(n / 2500)))
            .map(|path| name(&mut paths, &path))
            .collect();
        assert!(names.len() <= 2 * NAMES_OF_SERVICE, "{}", names.len());
        assert_eq!(name(&mut paths, "/new"), "/*");
        // Another has its own.
        let other = paths.name(&span("other", "GET", "/new"));
        assert_eq!(other, Some(PathName::Template("/new")));
    }

    #[test]
    fn services_that_fell_silent_make_room() {
        let mut paths = Paths::default();
        for service in 0..10 * SERVICES {
            paths.name(&span("kept", "GET", "/a"));
            paths.name(&span(&service.to_string(), "GET", "/a"));
        }
        assert!(paths.services.by_name.len() <= SERVICES + 1);
        assert!(paths.services.by_name.contains_key("kept"));
    }
}
