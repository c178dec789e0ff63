//! The examples of RFC 7541, appendix C.

use super::*;

#[test]
fn c_1_integers() {
    for (bytes, prefix, value) in [
        (&[0x0a][..], 5, 10),
        (&[0x1f, 0x9a, 0x0a], 5, 1337),
        (&[0x2a], 8, 42),
    ] {
        let mut input = bytes;
        assert_eq!(integer(&mut input, prefix), Ok(Some(value)));
        assert!(input.is_empty());
    }
}

#[test]
fn c_2_1_a_literal_with_indexing() {
    let mut blocks = Blocks::new();
    let block = hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572");
    let field = line("custom-key", "custom-header");
    assert_eq!(blocks.read(&block), Ok(vec![field.clone()]));
    assert_eq!(blocks.table(), (vec![field], 55));
}

#[test]
fn c_2_2_a_literal_without_indexing() {
    let mut blocks = Blocks::new();
    let block = hex("040c 2f73 616d 706c 652f 7061 7468");
    assert_eq!(blocks.read(&block), Ok(vec![line(":path", "/sample/path")]));
    assert_eq!(blocks.table(), (vec![], 0));
}

#[test]
fn c_2_3_a_literal_never_indexed() {
    let mut blocks = Blocks::new();
    let block = hex("1008 7061 7373 776f 7264 0673 6563 7265 74");
    assert_eq!(blocks.read(&block), Ok(vec![line("password", "secret")]));
    assert_eq!(blocks.table(), (vec![], 0));
}

#[test]
fn c_2_4_an_indexed_field() {
    let mut blocks = Blocks::new();
    assert_eq!(blocks.read(&hex("82")), Ok(vec![line(":method", "GET")]));
    assert_eq!(blocks.table(), (vec![], 0));
}

/// Three blocks, each with its fields and the table after it.
fn story(mut blocks: Blocks, story: [(&str, Vec<Line>, Vec<Line>, usize); 3]) {
    for (block, fields, entries, size) in story {
        assert_eq!(blocks.read(&hex(block)), Ok(fields));
        assert_eq!(blocks.table(), (entries, size));
    }
}

fn requests(texts: [&str; 3]) {
    let authority = line(":authority", "www.example.com");
    let cache = line("cache-control", "no-cache");
    let custom = line("custom-key", "custom-value");
    let request = |scheme, path, last: Option<&Line>| {
        let mut fields = vec![
            line(":method", "GET"),
            line(":scheme", scheme),
            line(":path", path),
            authority.clone(),
        ];
        fields.extend(last.cloned());
        fields
    };
    let [first, second, third] = texts;
    let entries = [custom.clone(), cache.clone(), authority.clone()];
    story(
        Blocks::new(),
        [
            (first, request("http", "/", None), entries[2..].to_vec(), 57),
            (
                second,
                request("http", "/", Some(&cache)),
                entries[1..].to_vec(),
                110,
            ),
            (
                third,
                request("https", "/index.html", Some(&custom)),
                entries.to_vec(),
                164,
            ),
        ],
    );
}

#[test]
fn c_3_requests() {
    requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c_4_requests_in_huffman_code() {
    requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// The table has 256 bytes here, so entries are evicted.
fn responses(texts: [&str; 3]) {
    let found = line(":status", "302");
    let moved = line(":status", "307");
    let private = line("cache-control", "private");
    let date = line("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let later = line("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let location = line("location", "https://www.example.com");
    let encoding = line("content-encoding", "gzip");
    let cookie = line(
        "set-cookie",
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    );
    let mut blocks = Blocks::new();
    blocks.decoder.table.resize(256);
    let [first, second, third] = texts;
    story(
        blocks,
        [
            (
                first,
                vec![
                    found.clone(),
                    private.clone(),
                    date.clone(),
                    location.clone(),
                ],
                vec![location.clone(), date.clone(), private.clone(), found],
                222,
            ),
            (
                second,
                vec![
                    moved.clone(),
                    private.clone(),
                    date.clone(),
                    location.clone(),
                ],
                vec![moved, location.clone(), date, private.clone()],
                222,
            ),
            (
                third,
                vec![
                    line(":status", "200"),
                    private,
                    later.clone(),
                    location,
                    encoding.clone(),
                    cookie.clone(),
                ],
                vec![cookie, encoding, later],
                215,
            ),
        ],
    );
}

#[test]
fn c_5_responses() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032
         303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63
         6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0
         5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851
         5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn c_6_responses_in_huffman_code() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b
         ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad
         94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160
         65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
