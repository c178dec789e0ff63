use std::time::{Duration, Instant};
use tracer::{event, probe};
fn main() {
    let mut o = probe::Options::default();
    let mut pids = vec![];
    let mut secs = 10u64;
    let mut quiet = false;
    let mut it = std::env::args().skip(1);
    while let Some(a) = it.next() {
        match a.as_str() {
            "sock" => o.family = Some(probe::Family::Sock),
            "syscall" => o.family = Some(probe::Family::Syscall),
            "all" => o.all = true,
            "watch" => o.watch_all = true,
            "quiet" => quiet = true,
            "-t" => secs = it.next().unwrap().parse().unwrap(),
            p => pids.push(p.parse::<u32>().unwrap()),
        }
    }
    let t = Instant::now();
    let mut probes = match probe::Probes::attach(&o) {
        Ok(p) => p,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1)
        }
    };
    eprintln!("attached {} in {:?}", probes.description(), t.elapsed());
    for p in pids {
        probes.trace(p).unwrap();
    }
    let (mut n, mut bytes, mut wakes, mut last) = (0u64, 0u64, 0u64, 0u64);
    let end = Instant::now() + Duration::from_secs(secs);
    while Instant::now() < end {
        probes.wait(Duration::from_millis(200));
        wakes += 1;
        n += probes.drain(|r| {
            bytes += r.len() as u64 + 8;
            if let Ok(event::Event::Transfer(t)) = event::decode(r) {
                if t.last_piece {
                    last += 1;
                }
            }
            if !quiet {
                match event::decode(r) {
                    Ok(event::Event::Transfer(t)) => println!(
                        "{:?} {:?} @{} +{} last={} unseen={} start=-{} tid={}/{} head={:?} tail={}",
                        t.connection,
                        t.direction,
                        t.position,
                        t.length,
                        t.last_piece,
                        t.unseen,
                        if t.start_ns == 0 {
                            -1
                        } else {
                            t.end_ns as i64 - t.start_ns as i64
                        },
                        t.task.pid,
                        t.task.tid,
                        String::from_utf8_lossy(&t.head[..t.head.len().min(60)]),
                        t.tail.len()
                    ),
                    other => println!("{other:?}"),
                }
            }
        }) as u64;
    }
    probes.detach();
    n += probes.drain(|r| {
        if let Ok(event::Event::Transfer(t)) = event::decode(r) {
            if t.last_piece {
                last += 1;
            }
        }
    }) as u64;
    eprintln!(
        "records {n} transfers {last} bytes {bytes} waits {wakes} {:?}",
        probes.counters()
    );
    let st = std::fs::read_to_string("/proc/self/status").unwrap();
    for l in st
        .lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
    {
        eprintln!("{l}");
    }
}
