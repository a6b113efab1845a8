//! The macros by their bare names: the attribute `proxy` and the helper attribute of the derive don't get in each other's way.

use multiproc::{BaseManager, BaseProxy, Proxy, proxy, referent};

struct Keyword {
    r#type: String,
}

#[referent]
impl Keyword {
    pub fn new(r#type: &str) -> Self {
        Self { r#type: r#type.to_owned() }
    }

    #[referent(skip)]
    pub fn skipped() -> u8 {
        1
    }

    pub fn r#type(&self) -> &str {
        &self.r#type
    }
}

#[derive(Proxy)]
#[proxy(exposed("type"))]
struct ByHand(BaseProxy);

#[proxy(typeid = "Keyword")]
trait Elsewhere {
    #[proxy(name = "type")]
    fn kind(&self) -> String;
}

fn main() -> multiproc::Result<()> {
    let manager = BaseManager::builder().register::<Keyword>().start()?;
    let keyword = KeywordProxy::new(&manager, "struct")?;
    assert_eq!(keyword.r#type()?, "struct");
    assert_eq!(ElsewhereProxy::from_base(keyword.base().clone()).kind()?, "struct");
    assert_eq!(ByHand::from_base(keyword.base().clone()).base(), keyword.base());
    assert_eq!(ByHand::EXPOSED, Some(&["type"][..]));
    assert_eq!(Keyword::skipped(), 1);
    manager.shutdown()
}
