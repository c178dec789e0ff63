use super::*;

fn named(path: &str) -> String {
    let mut out = String::new();
    of(path, &mut out);
    out
}

/// Paths as they are met, by what they are of.
const PATHS: &[(&str, &str)] = &[
    // Nothing to take out.
    ("/", "/"),
    ("/users", "/users"),
    ("/users/", "/users/"),
    ("//users", "//users"),
    ("/index.html", "/index.html"),
    ("/api/v1/orders", "/api/v1/orders"),
    ("/api/v2beta1/pods", "/api/v2beta1/pods"),
    ("/apis/v1alpha1/nodes", "/apis/v1alpha1/nodes"),
    ("/v1.43/containers/json", "/v1.43/containers/json"),
    ("/api/1.0/users", "/api/1.0/users"),
    (
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration",
    ),
    ("/oauth2/token", "/oauth2/token"),
    ("/login/oauth2callback", "/login/oauth2callback"),
    (
        "/s3/k8s/i18n/2fa/3d/720p/x509/log4j",
        "/s3/k8s/i18n/2fa/3d/720p/x{id}/log4j",
    ),
    ("/digest/sha256", "/digest/sha256"),
    ("/en-US/zh-Hant-TW", "/en-US/zh-Hant-TW"),
    (
        "/acme.user.v1.UserService/GetUser",
        "/acme.user.v1.UserService/GetUser",
    ),
    (
        "/com.example.shop.inventory.v1.InventoryReservationService/ReserveItems",
        "/com.example.shop.inventory.v1.InventoryReservationService/ReserveItems",
    ),
    (
        "/api/getCustomerAccountByIdentifier",
        "/api/getCustomerAccountByIdentifier",
    ),
    ("/wp-admin/admin-ajax.php", "/wp-admin/admin-ajax.php"),
    ("/cafe/facade/decade/added", "/cafe/facade/decade/added"),
    ("/idx/_search", "/idx/_search"),
    (
        "/terms-and-conditions-of-service",
        "/terms-and-conditions-of-service",
    ),
    ("/$metadata", "/$metadata"),
    ("/static/css/main.css", "/static/css/main.css"),
    // Numbers.
    ("/users/42", "/users/{id}"),
    ("/users/42/orders/7/", "/users/{id}/orders/{id}/"),
    ("/users/0", "/users/{id}"),
    ("/users/-5", "/users/-{id}"),
    ("/archive/2024/05/17", "/archive/{id}/{id}/{id}"),
    ("/files/4711.json", "/files/{id}.json"),
    ("/items/item-17", "/items/item-{id}"),
    ("/items/item_17/edit", "/items/item_{id}/edit"),
    ("/items/SKU-ABC-12345", "/items/SKU-ABC-{id}"),
    ("/users/user42", "/users/user{id}"),
    ("/img/IMG_20240517_103344.jpg", "/img/IMG_{id}.jpg"),
    ("/isbn/978-3-16-148410-0", "/isbn/{id}"),
    ("/phone/+4917612345678", "/phone/+{id}"),
    ("/ids/1,2,3", "/ids/{id}"),
    ("/at/51.5074,-0.1278", "/at/{id}"),
    ("/ip/10.11.12.13", "/ip/{id}"),
    ("/mac/00:1B:44:11:3A:B7", "/mac/{id}"),
    ("/ip/2001:db8:0:0:1:0:0:1", "/ip/{id}"),
    ("/odata/Users(42)/Orders", "/odata/Users({id})/Orders"),
    ("/v1/projects/1234:cancel", "/v1/projects/{id}:cancel"),
    ("/lib/jquery-3.6.0.min.js", "/lib/jquery-{id}.min.js"),
    ("/react@18.2.0/umd", "/react@{id}/umd"),
    // UUIDs, hashes, hexadecimal.
    ("/o/550e8400-e29b-41d4-a716-446655440000", "/o/{id}"),
    ("/o/ABCDEFAB-CAFE-4DEC-8BAD-FACEFEEDBEEF", "/o/{id}"),
    (
        "/o/order-550e8400-e29b-41d4-a716-446655440000.pdf",
        "/o/order-{id}.pdf",
    ),
    ("/o/550e8400e29b41d4a716446655440000", "/o/{id}"),
    ("/o/507f1f77bcf86cd799439011/x", "/o/{id}/x"),
    ("/org/repo/commit/3f2a1b9", "/org/repo/commit/{id}"),
    ("/x/deadbeef", "/x/{id}"),
    ("/x/0x7fbeef12", "/x/{id}"),
    (
        "/v2/library/nginx/blobs/sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "/v2/library/nginx/blobs/sha256:{id}",
    ),
    ("/static/app.3f2a1b9c.js", "/static/app.{id}.js"),
    (
        "/static/chunk-vendors.8f3e2a1c.css",
        "/static/chunk-vendors.{id}.css",
    ),
    (
        "/api/v1/namespaces/kube-system/pods/coredns-5d78c9869d-x2v9k/log",
        "/api/v1/namespaces/kube-system/pods/coredns-{id}/log",
    ),
    // Tokens.
    ("/v1/customers/cus_NffrFeUfNV2Hib", "/v1/customers/cus_{id}"),
    ("/n/V1StGXR8_Z5jdHi6B-myT", "/n/{id}"),
    ("/u/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/u/{id}"),
    ("/watch/dQw4w9WgXcQ", "/watch/{id}"),
    ("/s/a1b2c3", "/s/{id}"),
    ("/reset/MTIzNDU2Nzg5MGFiY2RlZg==", "/reset/{id}"),
    (
        "/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.SflKxwRJSMeKKF2QT4fwpMeJf36P",
        "/t/{id}",
    ),
    ("/t/abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", "/t/{id}"),
    // Dates.
    ("/reports/2024-05-17", "/reports/{date}"),
    ("/reports/2024-05-17.csv", "/reports/{date}.csv"),
    ("/reports/2024-05-17T10:00:00Z", "/reports/{date}"),
    ("/dt=2024-05-17/part-0001", "/dt={date}/part-{id}"),
    ("/logs-2024.05.17/_doc", "/logs-{id}/_doc"),
    ("/2015-03-31/functions", "/{date}/functions"),
    // Mail addresses and other text.
    ("/users/ann@example.com", "/users/{email}"),
    ("/users/ann%40example.com/posts", "/users/{email}/posts"),
    ("/search/caf%C3%A9%20au%20lait", "/search/{id}"),
    ("/wiki/Zürich", "/wiki/{id}"),
    ("/x/{id}", "/x/{id}"),
    ("/cart;jsessionid=1A2B3C/items", "/cart/items"),
    // Titles.
    ("/blog/how-to-bake-bread-at-home", "/blog/{slug}"),
    ("/blog/my-first-post-8f14e45fceea.html", "/blog/{slug}.html"),
    ("/blog/8812-how-to-bake-bread", "/blog/{id}"),
    // Deep trees.
    ("/a/b/c/d/e/f/g/h/i/j/k/l", "/a/b/c/d/e/f/g/h/i/j/k/l"),
    ("/a/b/c/d/e/f/g/h/i/j/k/l/m/n", "/a/b/c/d/e/f/g/h/i/j/k/l/*"),
];

#[test]
fn real_paths() {
    let wrong: Vec<_> = (PATHS.iter())
        .filter(|(path, name)| named(path) != *name)
        .map(|(path, name)| format!("{path} is {}, should be {name}", named(path)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_of_bounded_length() {
    let long = format!("/{}", "word.".repeat(16).trim_end_matches('.')).repeat(1000);
    assert!(named(&long).len() <= DEEPEST * (LONGEST_SEGMENT + 1) + 2);
}

proptest::proptest! {
    #[test]
    fn any_path_has_a_printable_name(path in "/(\\PC|[!-~]){0,80}") {
        let mut out = String::new();
        of(&path, &mut out);
        proptest::prop_assert!(out.starts_with('/'));
        proptest::prop_assert!(out.bytes().all(|b| (0x21..0x7f).contains(&b)));
    }
}
