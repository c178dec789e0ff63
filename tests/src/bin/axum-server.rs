//! The targets that every server of the tests knows, on axum (hyper, tokio).

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

#[tokio::main(worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let router = Router::new()
        .route("/bytes/{size}/{*rest}", get(bytes))
        .route("/chunked/{*rest}", get(chunked))
        .route("/status/{code}/{*rest}", get(status))
        .route("/echo/{*rest}", any(|body: Bytes| async { body }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    axum::serve(listener, router).await
}

async fn bytes(Path((size, _)): Path<(usize, String)>) -> Bytes {
    vec![b'r'; size].into()
}

/// A body whose length is not known beforehand.
async fn chunked() -> Body {
    let pieces = [3, 3000, 5].map(|size| Ok::<_, std::io::Error>(Bytes::from(vec![b'c'; size])));
    Body::from_stream(tokio_stream::iter(pieces))
}

async fn status(Path((code, _)): Path<(u16, String)>) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::NOT_FOUND);
    match status {
        StatusCode::NO_CONTENT => status.into_response(),
        _ => (status, "status").into_response(),
    }
}
