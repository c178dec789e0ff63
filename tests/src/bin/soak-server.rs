//! What is traced while it soaks, and who holds connections to it: see `tests::soak`.

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    tests::soak::program(&arguments)
}
