//! Every form of parameter and result that crosses.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use multiproc::BaseManager;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    x: i32,
}

#[derive(Default)]
pub struct Forms {
    points: Vec<Point>,
    bytes: Vec<u8>,
    path: PathBuf,
}

mod parsed {
    pub type Result<T> = std::result::Result<T, std::num::ParseIntError>;
}

#[multiproc::referent]
impl Forms {
    pub fn new(points: &[Point], bytes: &[u8]) -> Self {
        Self { points: points.to_vec(), bytes: bytes.to_vec(), path: PathBuf::new() }
    }

    pub fn by_reference(&self, point: &Point, text: &str, texts: &[&str], all: &[Point]) -> usize {
        point.x as usize + text.len() + texts.concat().len() + all.len()
    }

    pub fn optional(&self, point: Option<&Point>, text: Option<&str>, all: Option<&[Point]>) -> (bool, bool, bool) {
        (point.is_some(), text.is_some(), all.is_some())
    }

    pub fn bytes_in(
        &mut self,
        slice: &[u8],
        vec: Vec<u8>,
        lent: &Vec<u8>,
        maybe: Option<&[u8]>,
        maybe_vec: Option<Vec<u8>>,
    ) -> usize {
        self.bytes = [slice, &vec, lent, maybe.unwrap_or_default(), &maybe_vec.unwrap_or_default()].concat();
        self.bytes.len()
    }

    pub fn bytes_slice(&self) -> &[u8] {
        &self.bytes
    }
    pub fn bytes_lent(&self) -> &Vec<u8> {
        &self.bytes
    }
    pub fn bytes_vec(&self) -> Vec<u8> {
        self.bytes.clone()
    }
    pub fn bytes_maybe(&self) -> Option<&[u8]> {
        Some(&self.bytes)
    }
    pub fn bytes_maybe_vec(&self) -> Option<Vec<u8>> {
        None
    }
    pub fn bytes_or_error(&self, fail: bool) -> Result<&[u8], String> {
        if fail { Err("no".into()) } else { Ok(&self.bytes) }
    }
    pub fn bytes_vec_or_error(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.bytes.clone()))
    }
    #[referent(error = text)]
    pub fn bytes_or_text(&self) -> parsed::Result<Vec<u8>> {
        Ok(self.bytes.clone())
    }

    pub fn path_in(&mut self, path: &Path, then: PathBuf) {
        self.path = path.join(then);
    }
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn lifetimes<'a>(&'a self, text: &'a str, cow: Cow<'a, str>) -> Cow<'a, str> {
        if text.is_empty() { cow } else { Cow::Borrowed(text) }
    }

    pub fn tuples(&self, _ignored: (&str, u8), map: HashMap<&str, Vec<&str>>) -> usize {
        map.len()
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }
    pub fn find(&self, x: i32) -> Option<&Point> {
        self.points.iter().find(|point| point.x == x)
    }
    pub fn index(&self) -> HashMap<i32, &Point> {
        self.points.iter().map(|point| (point.x, point)).collect()
    }
    pub fn both(&self) -> (&[Point], &'static str) {
        (&self.points, "points")
    }
    pub fn choose(&self, fail: bool) -> Result<&Point, &str> {
        if fail { Err("told to") } else { self.points.first().ok_or("empty") }
    }

    #[referent(error = text)]
    pub fn parse(&self, text: &str) -> parsed::Result<i32> {
        text.parse()
    }

    #[referent(codec = value, blocking)]
    pub fn by_value(&mut self, call: u8, this: u8, r#type: u8) -> u8 {
        call + this + r#type
    }

    #[allow(clippy::too_many_arguments)]
    #[rustfmt::skip]
    pub fn sixteen(
        &self, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8, m: u8, n: u8, o: u8, p: u8,
    ) -> u8 {
        a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = BaseManager::builder().register::<Forms>().start()?;
    let (one, two) = (Point { x: 1 }, Point { x: 2 });
    let forms = FormsProxy::new(&manager, &[one.clone(), two.clone()], b"ab")?;

    assert_eq!(forms.by_reference(&two, "abc", &["d", "ef"], &[one.clone()])?, 2 + 3 + 3 + 1);
    assert_eq!(forms.optional(Some(&one), None, Some(&[]))?, (true, false, true));
    assert_eq!(forms.optional(None, Some("x"), None)?, (false, true, false));

    assert_eq!(forms.bytes_slice()?, b"ab");
    assert_eq!(forms.bytes_in(b"1", b"2".to_vec(), &b"3".to_vec(), Some(b"4"), Some(b"5".to_vec()))?, 5);
    assert_eq!(forms.bytes_lent()?, b"12345");
    assert_eq!(forms.bytes_vec()?, b"12345");
    assert_eq!(forms.bytes_maybe()?.as_deref(), Some(&b"12345"[..]));
    assert_eq!(forms.bytes_maybe_vec()?, None);
    assert_eq!(forms.bytes_or_error(false)?, b"12345");
    assert!(forms.bytes_or_error(true).is_err());
    assert_eq!(forms.bytes_vec_or_error()?.as_deref(), Some(&b"12345"[..]));
    assert_eq!(forms.bytes_or_text()?, b"12345");

    forms.path_in(Path::new("/a"), PathBuf::from("b"))?;
    assert_eq!(forms.path()?, Path::new("/a/b"));
    assert_eq!(forms.lifetimes("", Cow::Borrowed("cow"))?, "cow");
    assert_eq!(forms.lifetimes("text", "cow".into())?, "text");
    assert_eq!(forms.tuples(("a", 1), HashMap::from([("k", vec!["v"])]))?, 1);

    assert_eq!(forms.points()?, [one.clone(), two.clone()]);
    assert_eq!(forms.find(2)?, Some(two.clone()));
    assert_eq!(forms.find(3)?, None);
    assert_eq!(forms.index()?[&2], two);
    assert_eq!(forms.both()?, (vec![one.clone(), two], "points".to_owned()));
    assert_eq!(forms.choose(false)?, one);
    assert!(matches!(forms.choose(true), Err(multiproc::CallError::Method(text)) if text == "told to"));

    assert_eq!(forms.parse("12")?, 12);
    let error: multiproc::Result<i32> = forms.parse("x");
    assert!(error.unwrap_err().to_string().contains("invalid digit"));
    assert_eq!(forms.by_value(1, 2, 3)?, 6);
    assert_eq!(forms.sixteen(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)?, 16);
    manager.shutdown()?;
    Ok(())
}
