//! Builds every program of the fixtures, for where the tests find them built.

fn main() {
    tests::servers::build_all();
}
