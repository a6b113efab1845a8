//! What a method of an object of Python's raised.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::pickle::{Graph, Id, Make, Node, ProxyName, Translation};
use crate::codec::value::parts::{self, Kind};
use crate::codec::{self, Codec, Value};
use crate::error::RemoteError;

/// The class of what a server of Python's itself complains of.
const REMOTE_ERROR: &str = "multiprocessing.managers.RemoteError";

/// What a server says of a method that is not exposed.
const UNEXPOSED: &str = "is not in exposed=";

/// An exception that a method of an object of Python's raised: its class, and what it was made of.
///
/// Any proxy's method may name it as its error. An error type of one's own is read from an exception as well: a variant by the name of the exception's class (without its module), with the exception's
/// arguments as its fields. What fits neither comes as [`Error::Remote`](crate::Error::Remote), with the class as its `kind`.
///
/// ```
/// use multiproc::python::Exception;
///
/// /// What some Python class's `deposit` may raise.
/// #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// pub enum Refusal {
///     /// `raise TooMuch('limit', 100)`
///     TooMuch(String, i64),
///     /// `raise PermissionError('no')`
///     PermissionError(String),
/// }
///
/// #[multiproc::proxy(typeid = "Account")]
/// pub trait Account {
///     fn new(owner: &str) -> Self;
///     fn deposit(&self, amount: i64) -> Result<i64, Refusal>;
///     fn close(&self) -> Result<(), Exception>;
/// }
/// # fn main() {}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.text())]
#[non_exhaustive]
pub struct Exception {
    /// The class with its module, such as `builtins.KeyError`.
    pub class: String,
    /// The exception's arguments. A proxy among them, or an instance of a class, is kept as Python pickled it.
    pub args: Vec<Value>,
    /// The traceback as text, where the server sent one: CPython's does so for what goes wrong around a method, not for what the method itself raises.
    pub traceback: Option<String>,
}

impl Exception {
    /// Reads a pickled instance.
    pub(super) fn read(graph: &Graph<'_>, id: Id) -> Self {
        let class = graph.class(id).into_owned();
        let Node::Object(object) = graph.get(id) else { return Self { class, args: Vec::new(), traceback: None } };
        let (Make::Call(_, arguments) | Make::New(_, arguments) | Make::NewWith(_, arguments, _)) = object.make;
        let mut none = |_: &ProxyName<'_>| None;
        let mut translation = Translation::new(graph, &mut none);
        let mut read = |id: &Id| {
            let mut bytes = Vec::new();
            translation.append(*id, &mut bytes).and_then(|()| codec::decode(Codec::Value, &bytes)).unwrap_or_else(
                // What is far too large to be told.
                |error| Value::Str(format!("<{error}>")),
            )
        };
        let args = graph.tuple(arguments).unwrap_or_default().iter().map(&mut read).collect();
        Self { class, args, traceback: None }
    }

    /// What the server itself complains of, which it tells by a traceback.
    pub(super) fn of_server(traceback: String) -> Self {
        // A method that is not exposed is looked for in another place then, and told as missing there.
        let unexposed = traceback.lines().find(|line| line.starts_with("AttributeError: ") && line.contains(UNEXPOSED));
        let last = unexposed.or_else(|| traceback.trim_end().lines().last()).unwrap_or_default();
        Self { class: REMOTE_ERROR.to_owned(), args: vec![Value::Str(last.to_owned())], traceback: Some(traceback) }
    }

    /// Whether the server complains that a method is not exposed.
    pub(crate) fn is_about_exposure(&self) -> bool {
        self.class == REMOTE_ERROR && self.text().contains(UNEXPOSED)
    }

    /// The class's own name, without its module.
    pub fn name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }

    /// What Python would print of it behind the class's name; the name where there is nothing.
    fn text(&self) -> String {
        match &self.args[..] {
            [] => self.name().to_owned(),
            // A key is told from a message by its quotes.
            [Value::Str(text)] if self.class != "builtins.KeyError" => text.clone(),
            [one] => one.to_string(),
            several => Value::Tuple(several.to_vec()).to_string(),
        }
    }

    /// As an error of a method's, if it can be read as one.
    pub(crate) fn decode<E: DeserializeOwned>(&self) -> Option<E> {
        fn bytes(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
            let mut bytes = Vec::new();
            // What can't be written can't be read either.
            let _ = codec::encode(Codec::Value, value, &mut bytes);
            bytes
        }
        let name = bytes(self.name());
        let variant = match &self.args[..] {
            [] => name.clone(),
            [one] => parts::container(Kind::Dict, [&name, &bytes(one)].into_iter()),
            several => {
                let fields: Vec<_> = several.iter().map(bytes).collect();
                let fields = parts::container(Kind::Tuple, fields.iter());
                parts::container(Kind::Dict, [&name, &fields].into_iter())
            }
        };
        let whole = bytes(self);
        // One that has arguments nobody wants to know is still of its class.
        let forms = [variant, whole, bytes(&self.text()), name];
        forms.iter().find_map(|form| codec::decode(Codec::Value, form).ok())
    }
}

impl From<Exception> for RemoteError {
    fn from(exception: Exception) -> Self {
        let message = exception.text();
        let Exception { class, traceback, .. } = exception;
        Self { kind: class, message, causes: traceback.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(class: &str, args: Vec<Value>) -> Exception {
        Exception { class: class.to_owned(), args, traceback: None }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Refusal {
        TooMuch(String, i64),
        PermissionError(String),
        Empty,
        Located { line: u32, text: String },
    }

    #[test]
    fn an_exception_is_the_variant_of_its_name() {
        let read = |class, args| exception(class, args).decode::<Refusal>();
        let too_much = read("__main__.TooMuch", vec!["limit".into(), 100.into()]);
        assert_eq!(too_much, Some(Refusal::TooMuch("limit".into(), 100)));
        assert_eq!(read("builtins.PermissionError", vec!["no".into()]), Some(Refusal::PermissionError("no".into())));
        assert_eq!(read("_queue.Empty", vec![]), Some(Refusal::Empty));
        assert_eq!(read("_queue.Empty", vec!["why".into()]), Some(Refusal::Empty));
        let located = Refusal::Located { line: 3, text: "x".into() };
        assert_eq!(read("m.Located", vec![3.into(), "x".into()]), Some(located));
        assert_eq!(read("m.Other", vec![]), None);
        assert_eq!(read("__main__.TooMuch", vec![1.into()]), None);
    }

    #[test]
    fn an_exception_is_itself_and_a_text() {
        let missing = exception("builtins.KeyError", vec!["x".into()]);
        assert_eq!(missing.decode::<Exception>().unwrap(), missing);
        assert_eq!(missing.decode::<String>().unwrap(), "'x'");
        assert_eq!(missing.to_string(), "'x'");
        assert_eq!(exception("m.E", vec![1.into(), "a".into()]).to_string(), "(1, 'a')");
        assert_eq!(exception("m.E", vec!["a".into()]).to_string(), "a");
        let told = Exception::of_server("Traceback (most recent call last):\nKeyError: 'x'\n".into());
        assert_eq!((told.to_string(), told.is_about_exposure()), ("KeyError: 'x'".into(), false));
        let lines = "Traceback:\nAttributeError: method 'f' of … is not in exposed={…}\nKeyError: 'f'\n";
        let told = Exception::of_server(lines.into());
        assert!(told.is_about_exposure() && told.to_string().starts_with("AttributeError: method 'f'"));
    }
}
