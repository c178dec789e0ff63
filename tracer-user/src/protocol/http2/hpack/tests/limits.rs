//! What is malformed, what is unknown, and what is too much.

use super::*;

fn bad(block: &[u8]) {
    assert_eq!(Blocks::new().read(block), Err(Malformed), "{block:x?}");
}

#[test]
fn an_index_without_an_entry_is_malformed() {
    bad(b"\x80");
    bad(b"\xbe");
    bad(b"\x7e\x01a");
    bad(b"\xff\xff\xff\xff\x0f");
}

#[test]
fn an_integer_of_more_than_32_bits_is_malformed() {
    bad(b"\xff\x80\x80\x80\x80\x80\x01");
    bad(b"\xff\xff\xff\xff\xff\x7f");
    // With as many zeros as there may be, it is not.
    let mut input = &b"\x1f\x9a\x8a\x80\x80\x00"[..];
    assert_eq!(integer(&mut input, 5), Ok(Some(1337)));
}

#[test]
fn a_size_update_after_a_field_is_malformed() {
    bad(b"\x82\x20");
    let mut blocks = Blocks::new();
    // More than one before it are not: the least size in between, then the last.
    assert_eq!(
        blocks
            .read(b"\x20\x3f\xe1\x1f\x82")
            .map(|lines| lines.len()),
        Ok(1)
    );
}

#[test]
fn huffman_code_ends_in_ones_shorter_than_a_byte() {
    let read = |bytes: &[u8]| {
        let mut text = Vec::new();
        huffman::decode(bytes, &mut text).map(|()| text)
    };
    assert_eq!(read(b""), Ok(vec![]));
    assert_eq!(read(b"\x1f"), Ok(b"a".to_vec()));
    assert_eq!(read(b"\x18"), Err(Malformed));
    assert_eq!(read(b"\xff"), Err(Malformed));
    assert_eq!(read(b"\x1f\xff"), Err(Malformed));
    // EOS in full.
    assert_eq!(read(b"\xff\xff\xff\xff"), Err(Malformed));
    assert_eq!(read(b"\xff\xff\xff\xfc\x1f"), Err(Malformed));
}

#[test]
fn every_symbol_has_its_code() {
    let all: Vec<u8> = (0..=255).collect();
    for text in [
        &all[..],
        &all.repeat(3),
        b"e",
        b"\x0a\x0d\x16",
        b"\xf9a\xf9",
    ] {
        let mut code = Vec::new();
        httlib_huffman::encode(text, &mut code).expect("code");
        let mut decoded = Vec::new();
        assert_eq!(huffman::decode(&code, &mut decoded), Ok(()));
        assert_eq!(decoded, text);
    }
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut blocks = Blocks::new();
    blocks.read(b"\x3f\x21\x40\x01a\x01b").expect("fields");
    assert_eq!(blocks.table(), (vec![line("a", "b")], 34));
    // 64 bytes are the limit, 32 of them overhead.
    let block = [&b"\x40\x01c\x20"[..], &[b'x'; 32]].concat();
    assert_eq!(blocks.read(&block), Ok(vec![line("c", &"x".repeat(32))]));
    assert_eq!(blocks.table(), (vec![], 0));
    assert_eq!(blocks.read(b"\xbe"), Err(Malformed));
}

#[test]
fn a_name_may_come_from_the_entry_that_its_insertion_evicts() {
    let mut blocks = Blocks::new();
    blocks.read(b"\x3f\x05\x40\x01a\x01b").expect("fields");
    assert_eq!(blocks.read(b"\x7e\x03ccc"), Ok(vec![line("a", "ccc")]));
    assert_eq!(blocks.table(), (vec![line("a", "ccc")], 36));
}

#[test]
fn midway_only_what_is_inserted_is_known() {
    let mut blocks = Blocks::midway();
    assert_eq!(
        blocks.read(b"\xbe\x82"),
        Ok(vec![None, line(":method", "GET")])
    );
    assert_eq!(blocks.read(b"\x40\x01a\x01b"), Ok(vec![line("a", "b")]));
    assert_eq!(blocks.read(b"\xbf\xbe"), Ok(vec![None, line("a", "b")]));
    // A name of before makes an entry of which the place only is known.
    assert_eq!(blocks.read(b"\x7f\x00\x01c"), Ok(vec![None]));
    assert_eq!(blocks.read(b"\xbe\xbf"), Ok(vec![None, line("a", "b")]));
    // Emptied, the table is known again.
    assert_eq!(blocks.read(b"\x20\xbe"), Err(Malformed));
}

#[test]
fn midway_a_trace_context_tells_its_name() {
    const VALUE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let field = |value: &str| [b"\x7f\x00\x37", value.as_bytes()].concat();
    let known = line("traceparent", VALUE);
    let mut blocks = Blocks::midway();
    assert_eq!(blocks.read(&field(VALUE)), Ok(vec![known.clone()]));
    // It is inserted with its name, which the next one refers to.
    assert_eq!(blocks.read(b"\xbe"), Ok(vec![known]));
    assert_eq!(
        blocks.read(b"\x7e\x01x"),
        Ok(vec![line("traceparent", "x")])
    );
    for value in [
        VALUE.replace("00-4", "01-4"),
        VALUE.replace('f', "F"),
        VALUE.replace("00f067aa0ba902b7", "0000000000000000"),
        VALUE.replace("-01", "-0x"),
    ] {
        let mut blocks = Blocks::midway();
        assert_eq!(blocks.read(&field(&value)), Ok(vec![None]), "{value}");
    }
}

#[test]
fn after_a_loss_only_what_is_inserted_is_known() {
    let mut blocks = Blocks::new();
    blocks.read(b"\x40\x01a\x01b").expect("fields");
    blocks.decoder.lose();
    assert_eq!(
        blocks.read(b"\x40\x01c\x01d\xbe\xbf"),
        Ok(vec![line("c", "d"), line("c", "d"), None])
    );
}

#[test]
fn a_malformed_block_makes_the_table_unknown() {
    let mut blocks = Blocks::new();
    blocks.read(b"\x40\x01a\x01b").expect("fields");
    assert_eq!(blocks.read(b"\x80"), Err(Malformed));
    assert_eq!(blocks.read(b"\xbe"), Ok(vec![None]));
}

#[test]
fn a_table_without_limit_is_kept_in_part() {
    let mut blocks = Blocks::new();
    let mut update = b"\x3f".to_vec();
    update.extend(b"\xe0\xff\xff\xff\x07");
    blocks.read(&update).expect("a size");
    let entry = [&b"\x40\x02nn\x7f\xe1\x06"[..], &[b'v'; 992]].concat();
    for _ in 0..1000 {
        blocks.read(&entry).expect("fields");
    }
    let (entries, size) = blocks.table();
    assert!(
        size <= 65_536 && entries.len() == 63,
        "{size} {}",
        entries.len()
    );
    // The encoder may have more than that.
    assert_eq!(blocks.read(b"\xff\x00"), Ok(vec![None]));
    // What is larger than we keep is unknown, and those after it are known.
    let huge = [&b"\x40\x01h\x7f\x81\xfe\x04"[..], &vec![b'v'; 81_792]].concat();
    assert_eq!(blocks.read(&huge).map(|lines| lines.len()), Ok(1));
    blocks.read(b"\x40\x01a\x01b").expect("fields");
    assert_eq!(blocks.read(b"\xbf\xbe"), Ok(vec![None, line("a", "b")]));
}

#[test]
fn what_is_not_kept_still_changes_the_table() {
    let mut blocks = Blocks::new();
    let mut text = Vec::new();
    blocks.decoder.begin();
    let mut input = &b"\x82\x40\x01a\x01b\xbe\x00\x01c\x01d"[..];
    for _ in 0..4 {
        let read = blocks.decoder.field(&mut input, &mut text, false);
        assert_eq!((read, text.len()), (Ok(Read::Unknown), 0));
    }
    assert_eq!(blocks.read(b"\xbe"), Ok(vec![line("a", "b")]));
    assert_eq!(blocks.table().1, 34);
}
