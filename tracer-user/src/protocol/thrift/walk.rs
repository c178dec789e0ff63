//! Walks over a struct without decoding it, however it is cut: to find its end where no length tells
//! it, and the first of its fields, which says what an answer is.
//!
//! Strings and containers of numbers are passed over by their length, captured or not; of nested
//! ones a stack of [`DEPTH_LIMIT`] levels is kept. No more than the text of an exception is stored.
//! Bias: a type that Thrift does not have ends the walk.

use smallvec::SmallVec;

use super::read::{be32, varint, zigzag};

/// Most structs and containers within each other: Thrift's libraries refuse more by default.
const DEPTH_LIMIT: usize = 64;

/// Most bytes of an exception's text that are kept: a status message is read by people, while some
/// frameworks send a stack trace along.
pub(super) const TEXT_LIMIT: usize = 1024;

/// Longest piece of structure that is read as one: the begin of a map, or a varint of 64 bits.
const TOKEN_LIMIT: usize = 10;

/// What a struct is walked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its end.
    End,
    /// The id of its first field: a result's.
    First,
    /// `TApplicationException`: text and type.
    Exception,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Binary,
    Compact,
}

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The input is used up.
    More,
    /// What it is walked for is known.
    Known,
    /// The struct's last byte was read.
    Done,
    /// It is no struct.
    Bad,
}

/// What a value is, as far as its length depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// That many bytes.
    Fixed(u8),
    /// A number of unknown length (compact).
    Varint,
    String,
    Struct,
    /// A list or a set.
    List,
    Map,
}

/// What is being read, inside out.
#[derive(Clone, Copy, Debug)]
enum Level {
    /// A struct; the id of its last field.
    Struct(i16),
    /// A list of which that many elements are left.
    List(u64, Type),
    /// A map of which that many keys and values are left.
    Map(u64, Type, Type),
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Of the level on top: a field, an element.
    Item,
    Length,
    Varint,
    List,
    Map,
    /// The type of an exception.
    TypeId,
}

/// One struct on its way.
#[derive(Debug)]
pub(super) struct Walk {
    form: Form,
    purpose: Purpose,
    levels: SmallVec<[Level; 4]>,
    next: Next,
    /// Bytes to pass over, and whether they are an exception's text; whether that was seen at all.
    pass: u64,
    is_text: bool,
    has_text: bool,
    /// A piece of structure whose rest is still to come.
    token: [u8; TOKEN_LIMIT],
    token_length: usize,
    /// Id of the struct's first field.
    pub first: Option<i16>,
    /// The begin of an exception's text.
    pub text: Vec<u8>,
    /// An exception's type.
    pub type_id: Option<i32>,
}

impl Walk {
    pub(super) fn new(form: Form, purpose: Purpose) -> Walk {
        Walk {
            form,
            purpose,
            levels: SmallVec::from_slice(&[Level::Struct(0)]),
            next: Next::Item,
            pass: 0,
            is_text: false,
            has_text: false,
            token: [0; TOKEN_LIMIT],
            token_length: 0,
            first: None,
            text: Vec::new(),
            type_id: None,
        }
    }

    /// What it is walked for is known: nothing that follows would add to it.
    pub(super) fn is_known(&self) -> bool {
        match self.purpose {
            Purpose::End => true,
            Purpose::First => self.first.is_some(),
            Purpose::Exception => self.type_id.is_some() && self.has_text && !self.is_text,
        }
    }

    /// Reads on, taking what it used from `input`.
    pub(super) fn bytes(&mut self, input: &mut &[u8]) -> Progress {
        loop {
            if self.pass > 0 {
                let n =
                    usize::try_from(self.pass).map_or(input.len(), |pass| pass.min(input.len()));
                if self.is_text {
                    let kept = n.min(TEXT_LIMIT - self.text.len());
                    self.text.extend_from_slice(&input[..kept]);
                }
                *input = &input[n..];
                self.passed(n as u64);
                if self.pass > 0 {
                    return Progress::More;
                }
            }
            match self.levels.last() {
                None => return Progress::Done,
                Some(Level::List(0, _) | Level::Map(0, ..)) => {
                    self.levels.pop();
                    continue;
                }
                Some(_) => {}
            }
            match self.step(input) {
                Ok(true) if self.purpose != Purpose::End && self.is_known() => {
                    self.purpose = Purpose::End;
                    return Progress::Known;
                }
                Ok(true) => {}
                Ok(false) => return Progress::More,
                Err(Bad) => return Progress::Bad,
            }
        }
    }

    /// Passes over bytes that were not captured; false if structure was among them.
    pub(super) fn skip(&mut self, n: u64) -> bool {
        if n > self.pass {
            return false;
        }
        self.passed(n);
        // What comes after a gap does not continue a text.
        self.is_text = false;
        true
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.text.capacity() + self.levels.capacity() * size_of::<Level>()
    }

    fn passed(&mut self, n: u64) {
        self.pass -= n;
        self.is_text &= self.pass > 0;
    }

    /// Reads one piece of structure; false if its bytes are not all there.
    fn step(&mut self, input: &mut &[u8]) -> Result<bool, Bad> {
        if let (Next::Item, Some(level)) = (self.next, self.levels.last_mut()) {
            // An element has no begin of its own.
            match level {
                Level::Struct(_) => {}
                Level::List(left, of) => {
                    *left -= 1;
                    let of = *of;
                    return self.value(of).map(|()| true);
                }
                Level::Map(left, key, value) => {
                    let of = if *left % 2 == 0 { *key } else { *value };
                    *left -= 1;
                    return self.value(of).map(|()| true);
                }
            }
        }
        if self.token_length == 0 {
            if let Some(used) = self.token(input)? {
                *input = &input[used..];
                return Ok(true);
            }
            // Less than a token is left.
            self.token[..input.len()].copy_from_slice(input);
            self.token_length = input.len();
            *input = &[];
            return Ok(false);
        }
        while let [byte, rest @ ..] = input {
            *input = rest;
            let mut token = self.token;
            token[self.token_length] = *byte;
            self.token[self.token_length] = *byte;
            self.token_length += 1;
            if self.token(&token[..self.token_length])?.is_some() {
                self.token_length = 0;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the piece of structure that bytes begin with: how many it takes, or None if it does not
    /// end among them.
    fn token(&mut self, bytes: &[u8]) -> Result<Option<usize>, Bad> {
        match (self.next, self.form) {
            (Next::Item, Form::Binary) => self.binary_field(bytes),
            (Next::Item, Form::Compact) => self.compact_field(bytes),
            (Next::Length, form) => {
                let Some((length, used)) = count(form, bytes)? else {
                    return Ok(None);
                };
                self.pass = length;
                self.next = Next::Item;
                self.is_text &= length > 0;
                Ok(Some(used))
            }
            (Next::Varint, _) => {
                let used = varint::<10>(bytes).map_err(|_| Bad)?.map(|(_, used)| used);
                if used.is_some() {
                    self.next = Next::Item;
                }
                Ok(used)
            }
            (Next::List, Form::Binary) => {
                let (Some(&of), Some(n)) = (bytes.first(), be32(bytes, 1)) else {
                    return Ok(None);
                };
                self.list(length(n)?, binary_type(of))?;
                Ok(Some(5))
            }
            (Next::List, Form::Compact) => {
                let Some(&first) = bytes.first() else {
                    return Ok(None);
                };
                let (n, used) = match first >> 4 {
                    15 => match count(Form::Compact, &bytes[1..])? {
                        Some((n, used)) => (n, 1 + used),
                        None => return Ok(None),
                    },
                    n => (u64::from(n), 1),
                };
                self.list(n, compact_element(first & 15))?;
                Ok(Some(used))
            }
            (Next::Map, Form::Binary) => {
                let (Some(&key), Some(&value), Some(n)) =
                    (bytes.first(), bytes.get(1), be32(bytes, 2))
                else {
                    return Ok(None);
                };
                self.map(length(n)?, binary_type(key), binary_type(value))?;
                Ok(Some(6))
            }
            (Next::Map, Form::Compact) => {
                let Some((n, used)) = count(Form::Compact, bytes)? else {
                    return Ok(None);
                };
                if n == 0 {
                    self.next = Next::Item;
                    return Ok(Some(used));
                }
                let Some(&types) = bytes.get(used) else {
                    return Ok(None);
                };
                self.map(n, compact_element(types >> 4), compact_element(types & 15))?;
                Ok(Some(used + 1))
            }
            (Next::TypeId, Form::Binary) => {
                let Some(type_id) = be32(bytes, 0) else {
                    return Ok(None);
                };
                self.type_id = Some(type_id as i32);
                self.next = Next::Item;
                Ok(Some(4))
            }
            (Next::TypeId, Form::Compact) => {
                let Some((type_id, used)) = varint::<10>(bytes).map_err(|_| Bad)? else {
                    return Ok(None);
                };
                self.type_id = Some(zigzag(type_id) as i32);
                self.next = Next::Item;
                Ok(Some(used))
            }
        }
    }

    /// u8 type (0: the struct ends), i16 id.
    fn binary_field(&mut self, bytes: &[u8]) -> Result<Option<usize>, Bad> {
        match bytes {
            [] => Ok(None),
            [0, ..] => {
                self.levels.pop();
                Ok(Some(1))
            }
            &[of, high, low, ..] => {
                let of = binary_type(of).ok_or(Bad)?;
                self.field(i16::from_be_bytes([high, low]), of)?;
                Ok(Some(3))
            }
            &[of, ..] => binary_type(of).map(|_| None).ok_or(Bad),
        }
    }

    /// u4 difference to the last id (0: the id follows), u4 type (0: the struct ends).
    fn compact_field(&mut self, bytes: &[u8]) -> Result<Option<usize>, Bad> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        if first == 0 {
            self.levels.pop();
            return Ok(Some(1));
        }
        let of = compact_field_type(first & 15).ok_or(Bad)?;
        let last = match self.levels.last() {
            Some(Level::Struct(last)) => *last,
            _ => 0,
        };
        let (id, used) = match first >> 4 {
            0 => match varint::<3>(&bytes[1..]).map_err(|_| Bad)? {
                Some((id, used)) => (zigzag(id) as i16, 1 + used),
                None => return Ok(None),
            },
            difference => (last.wrapping_add(i16::from(difference)), 1),
        };
        if let Some(Level::Struct(last)) = self.levels.last_mut() {
            *last = id;
        }
        self.field(id, of)?;
        Ok(Some(used))
    }

    fn field(&mut self, id: i16, of: Type) -> Result<(), Bad> {
        if self.levels.len() > 1 {
            return self.value(of);
        }
        self.first = self.first.or(Some(id));
        if self.purpose == Purpose::Exception {
            match (id, of) {
                (1, Type::String) => {
                    self.is_text = !self.has_text;
                    self.has_text = true;
                }
                (2, Type::Fixed(4)) | (2, Type::Varint) => {
                    self.next = Next::TypeId;
                    return Ok(());
                }
                _ => {}
            }
        }
        self.value(of)
    }

    /// A value of that type follows.
    fn value(&mut self, of: Type) -> Result<(), Bad> {
        self.next = Next::Item;
        match of {
            Type::Fixed(n) => self.pass = u64::from(n),
            Type::Varint => self.next = Next::Varint,
            Type::String => self.next = Next::Length,
            Type::Struct => self.enter(Level::Struct(0))?,
            Type::List => self.next = Next::List,
            Type::Map => self.next = Next::Map,
        }
        Ok(())
    }

    fn list(&mut self, n: u64, of: Option<Type>) -> Result<(), Bad> {
        self.next = Next::Item;
        match of {
            // Some writers give an empty container no type.
            _ if n == 0 => Ok(()),
            Some(Type::Fixed(size)) => {
                self.pass = n * u64::from(size);
                Ok(())
            }
            Some(of) => self.enter(Level::List(n, of)),
            None => Err(Bad),
        }
    }

    fn map(&mut self, n: u64, key: Option<Type>, value: Option<Type>) -> Result<(), Bad> {
        self.next = Next::Item;
        match (key, value) {
            _ if n == 0 => Ok(()),
            (Some(Type::Fixed(key)), Some(Type::Fixed(value))) => {
                self.pass = n * (u64::from(key) + u64::from(value));
                Ok(())
            }
            (Some(key), Some(value)) => self.enter(Level::Map(2 * n, key, value)),
            _ => Err(Bad),
        }
    }

    fn enter(&mut self, level: Level) -> Result<(), Bad> {
        if self.levels.len() >= DEPTH_LIMIT {
            return Err(Bad);
        }
        self.levels.push(level);
        Ok(())
    }
}

/// What is read is no struct.
struct Bad;

/// A length or count, which is never negative, and the bytes it takes.
fn count(form: Form, bytes: &[u8]) -> Result<Option<(u64, usize)>, Bad> {
    match form {
        Form::Binary => match be32(bytes, 0) {
            Some(n) => Ok(Some((length(n)?, 4))),
            None => Ok(None),
        },
        Form::Compact => match varint::<5>(bytes).map_err(|_| Bad)? {
            Some((n, _)) if n > i32::MAX as u64 => Err(Bad),
            read => Ok(read),
        },
    }
}

fn length(n: u32) -> Result<u64, Bad> {
    match n > i32::MAX as u32 {
        true => Err(Bad),
        false => Ok(u64::from(n)),
    }
}

fn binary_type(of: u8) -> Option<Type> {
    Some(match of {
        2 | 3 => Type::Fixed(1),
        6 => Type::Fixed(2),
        8 => Type::Fixed(4),
        4 | 10 => Type::Fixed(8),
        11 => Type::String,
        12 => Type::Struct,
        13 => Type::Map,
        14 | 15 => Type::List,
        16 => Type::Fixed(16),
        _ => return None,
    })
}

/// A field's: true and false are types, and no bytes.
fn compact_field_type(of: u8) -> Option<Type> {
    match of {
        1 | 2 => Some(Type::Fixed(0)),
        of => compact_element(of),
    }
}

fn compact_element(of: u8) -> Option<Type> {
    Some(match of {
        1..=3 => Type::Fixed(1),
        4..=6 => Type::Varint,
        7 => Type::Fixed(8),
        8 => Type::String,
        9 | 10 => Type::List,
        11 => Type::Map,
        12 => Type::Struct,
        13 => Type::Fixed(16),
        _ => return None,
    })
}
