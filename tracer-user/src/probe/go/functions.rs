//! Which functions of Go programs tell that one goroutine goes on for another: their names and what
//! their arguments are (ABIInternal: RAX, RBX, RCX, RDI, ... from the receiver on).
//!
//! A client that writes on a goroutine of its own is passed something by its caller: the address of
//! that is on both sides. Bias: of a chain with a missing link nothing is probed.

use std::ops::Range;

use tracer_ebpf::abi::{
    GOROUTINE_BEGINS, GOROUTINE_GIVES, GOROUTINE_SERVES, GOROUTINE_STARTS, GOROUTINE_TAKES,
    GoProbe, NO_STREAM, Register,
};

use super::version::Built;

/// The functions looked for. Those of [`probes`] by their place here.
pub(super) const NAMES: [&str; 20] = [
    // To read the code of.
    "runtime.morestack",
    "runtime.newproc1",
    // (pc *persistConn) roundTrip(req *transportRequest), which begins with a *Request
    "net/http.(*persistConn).roundTrip",
    // (r *Request) write(w io.Writer, ...), on the connection's writeLoop
    "net/http.(*Request).write",
    // (c *controlBuffer) executeAndPut(f func() bool, it cbItem): what opens a stream comes with an f
    "google.golang.org/grpc/internal/transport.(*controlBuffer).executeAndPut",
    // (l *loopyWriter) clientHeaderHandler(hdr *clientHeaders), which begins with the stream's number
    "google.golang.org/grpc/internal/transport.(*loopyWriter).clientHeaderHandler",
    // (l *loopyWriter) headerHandler(h *headerFrame), likewise: before 1.80 or so, of servers, too
    "google.golang.org/grpc/internal/transport.(*loopyWriter).headerHandler",
    // There where the program can be a client.
    "google.golang.org/grpc/internal/transport.(*http2Client).NewStream",
    // (s *Server) handleStream(t transport.ServerTransport, stream *transport.ServerStream)
    "google.golang.org/grpc.(*Server).handleStream",
    // Kitex has grpc-go's transport as its own.
    "github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/grpc.(*controlBuffer).executeAndPut",
    "github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/grpc.(*loopyWriter).headerHandler",
    "github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/grpc.(*http2Client).NewStream",
    // (engine *Engine) ServeHTTP(c context.Context, ctx *app.RequestContext)
    "github.com/cloudwego/hertz/pkg/route.(*Engine).ServeHTTP",
    // (t *svrTransHandler) OnRead(ctx context.Context, conn net.Conn)
    "github.com/cloudwego/kitex/pkg/remote/trans.(*svrTransHandler).OnRead",
    // (p *timeoutPool) RunTask(ctx, timeout, req, resp any, ep): on the caller's goroutine
    "github.com/cloudwego/kitex/client.(*timeoutPool).RunTask",
    // The task that a worker of that pool runs: (ctx context.Context, request, response any)
    "github.com/cloudwego/kitex/client.rpcTimeoutMW.func1.1",
    // Goroutines that a server starts to run a handler in: of the timeouts of net/http and go-zero, the
    // last one also as it is named where its maker is inlined.
    "net/http.(*timeoutHandler).ServeHTTP.func1",
    "github.com/zeromicro/go-zero/rest/handler.(*timeoutHandler).ServeHTTP.func1",
    "github.com/zeromicro/go-zero/zrpc/internal/serverinterceptors.UnaryTimeoutInterceptor.func1.1",
    "github.com/zeromicro/go-zero/zrpc.setupUnaryInterceptors.UnaryTimeoutInterceptor.func4.1",
];

/// Where each of [`NAMES`] is.
pub(super) type Found = [Option<Range<u64>>; NAMES.len()];

const GIVES: GoProbe = GoProbe {
    what: GOROUTINE_GIVES,
    token: Register::D,
    unless: Register::B,
    follow: false,
    stream: NO_STREAM,
};

const TAKES: GoProbe = GoProbe {
    what: GOROUTINE_TAKES,
    token: Register::B,
    unless: Register::None,
    follow: false,
    stream: 0,
};

const BEGINS: GoProbe = GoProbe {
    what: GOROUTINE_BEGINS,
    token: Register::None,
    unless: Register::None,
    follow: false,
    stream: NO_STREAM,
};

const STARTS: GoProbe = GoProbe {
    what: GOROUTINE_STARTS,
    ..BEGINS
};

/// What to probe, and where: distances from the start of the text.
pub(super) fn probes(found: &Found, built: &Built) -> Vec<(Range<u64>, GoProbe)> {
    let [
        _,
        _,
        round_trip,
        write,
        put,
        client_header,
        header,
        new_stream,
        handle_stream,
        kitex_put,
        kitex_header,
        kitex_new_stream,
        hertz_serve,
        kitex_read,
        run_task,
        task,
        timeouts @ ..,
    ] = found;
    let mut probes = Vec::new();
    let mut chain = |links: [(&Option<Range<u64>>, GoProbe); 2]| {
        if let [(Some(one), first), (Some(other), second)] = links {
            probes.extend([(one.clone(), first), (other.clone(), second)]);
        }
    };
    let request = GoProbe {
        token: Register::B,
        unless: Register::None,
        follow: true,
        ..GIVES
    };
    let writer = GoProbe {
        token: Register::A,
        stream: NO_STREAM,
        ..TAKES
    };
    chain([(round_trip, request), (write, writer)]);
    if new_stream.is_some() {
        let header = if client_header.is_some() {
            client_header
        } else {
            header
        };
        chain([(put, GIVES), (header, TAKES)]);
    }
    if kitex_new_stream.is_some() {
        chain([(kitex_put, GIVES), (kitex_header, TAKES)]);
    }
    let asked = GoProbe {
        token: Register::E,
        unless: Register::None,
        ..GIVES
    };
    let done = GoProbe {
        token: Register::D,
        stream: NO_STREAM,
        ..TAKES
    };
    chain([(run_task, asked), (task, done)]);
    // Who handles what matters to programs that make calls.
    let mut alone = |function: &Option<Range<u64>>, probe| {
        if let Some(function) = function {
            probes.push((function.clone(), probe));
        }
    };
    if let Some((stream, follow)) = built.grpc_stream() {
        let serves = GoProbe {
            what: GOROUTINE_SERVES,
            token: Register::D,
            unless: Register::None,
            follow,
            stream,
        };
        alone(handle_stream, serves);
    }
    alone(hertz_serve, BEGINS);
    alone(kitex_read, BEGINS);
    for timeout in timeouts {
        alone(timeout, STARTS);
    }
    probes
}
