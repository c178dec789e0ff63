//! Many blocks one after the other, as another library's encoder makes them.

use httlib_hpack::Encoder;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const NAMES: [&str; 12] = [
    ":authority",
    ":path",
    ":status",
    "content-type",
    "cookie",
    "date",
    "etag",
    "grpc-timeout",
    "traceparent",
    "user-agent",
    "x-request-id",
    "x",
];

/// In no other field than its own, by which it is known.
const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const VALUES: [&str; 9] = [
    "",
    "1",
    "200",
    "application/grpc",
    CONTEXT,
    "grpc-go/1.83.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "9f86d081-884c-7d65-9a2f-eaa0c55ad015; \"#$%&'()*+<=>?@[\\]^_`{|}~\u{7f}",
    "caf\u{e9} \u{20ac}",
];

/// A block to be made up: what the table's size changes to, and fields with the forms they take.
#[derive(Clone, Debug)]
struct Block {
    size: Option<u32>,
    fields: Vec<(String, String, u8)>,
}

fn block() -> impl Strategy<Value = Block> {
    let value = prop_oneof![
        4 => select(&VALUES[..]).prop_map(str::to_owned),
        1 => (0..500usize).prop_map(|n| "v".repeat(n)),
    ];
    // Any mix of Huffman code (1, 2), indexing or never (4, 8), and use of the tables (16).
    let form = (0..4u8, select(vec![0u8, 4, 8]), select(vec![0u8, 16]))
        .prop_map(|(huffman, indexing, tables)| huffman | indexing | tables);
    let name = select(&NAMES[..]).prop_map(str::to_owned);
    let field = (name, value, form).prop_map(|(name, value, form)| match value == CONTEXT {
        true => ("traceparent".to_owned(), value, form),
        false => (name, value, form),
    });
    let size = proptest::option::weighted(0.1, prop_oneof![0..40u32, 0..5000u32]);
    (size, proptest::collection::vec(field, 0..10))
        .prop_map(|(size, fields)| Block { size, fields })
}

/// The blocks as sent, and the fields in them.
fn encoded(blocks: &[Block]) -> Vec<(Vec<u8>, Vec<Line>)> {
    let mut encoder = Encoder::default();
    let one = |block: &Block| {
        let mut bytes = Vec::new();
        if let Some(size) = block.size {
            let update = encoder.update_max_dynamic_size(size, &mut bytes);
            update.expect("a size");
        }
        let mut lines = Vec::new();
        for (name, value, form) in &block.fields {
            let field = (name.as_bytes().to_vec(), value.as_bytes().to_vec(), *form);
            encoder.encode(field, &mut bytes).expect("a field");
            let text = |text: &str| text.as_bytes().escape_ascii().to_string();
            lines.push(Some((text(name), text(value))));
        }
        (bytes, lines)
    };
    blocks.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What was encoded is what is read.
    #[test]
    fn all_is_read_as_it_was_meant(story in proptest::collection::vec(block(), 1..40)) {
        let mut blocks = Blocks::new();
        for (bytes, lines) in encoded(&story) {
            prop_assert_eq!(blocks.read(&bytes), Ok(lines));
        }
    }

    /// The same from any piece of the block, and of what the pieces before left over.
    #[test]
    fn pieces_make_no_difference(
        story in proptest::collection::vec(block(), 1..10),
        piece in 1..50usize,
    ) {
        let mut blocks = Blocks::new();
        for (bytes, lines) in encoded(&story) {
            let (mut rest, mut read) = (Vec::new(), Vec::new());
            blocks.decoder.begin();
            for piece in bytes.chunks(piece) {
                rest.extend_from_slice(piece);
                let mut input = &rest[..];
                read.extend(blocks.go_on(&mut input).expect("fields"));
                rest = input.to_vec();
            }
            prop_assert_eq!(rest, b"");
            prop_assert_eq!(read, lines);
        }
    }

    /// Where blocks are lost a field is what was meant, or unknown.
    #[test]
    fn after_a_loss_nothing_is_guessed(
        story in proptest::collection::vec(block(), 1..40),
        lost in proptest::collection::vec(proptest::bool::weighted(0.2), 40),
        midway in any::<bool>(),
    ) {
        let mut blocks = if midway { Blocks::midway() } else { Blocks::new() };
        let mut any = midway;
        for ((bytes, lines), lost) in encoded(&story).into_iter().zip(lost) {
            if lost || midway && any && bytes.len() % 2 == 0 {
                any = true;
                blocks.decoder.lose();
                continue;
            }
            let read = blocks.read(&bytes).expect("fields");
            prop_assert_eq!(read.len(), lines.len());
            for (read, meant) in read.into_iter().zip(lines) {
                prop_assert!(read.is_none() && any || read == meant, "{read:?} {meant:?}");
            }
        }
    }
}
