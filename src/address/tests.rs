use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Address, AddressError> {
    text.parse()
}

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.into(), port }
}

#[test]
fn each_kind_is_read_and_printed() {
    let known = [
        ("unix:/run/app/socket", Address::Unix("/run/app/socket".into())),
        ("unix:/with:colon", Address::Unix("/with:colon".into())),
        ("unix:@app", Address::Abstract(b"app".into())),
        ("unix:@\\x00\\\\\\xff", Address::Abstract(vec![0, b'\\', 0xff])),
        ("tcp:localhost:7000", tcp("localhost", 7000)),
        ("tcp:127.0.0.1:0", tcp("127.0.0.1", 0)),
        ("tcp:[::1]:0", tcp("::1", 0)),
        ("tcp:[fe80::1%eth0]:65535", tcp("fe80::1%eth0", 65535)),
    ];
    for (text, address) in known {
        assert_eq!(parse(text), Ok(address.clone()), "{text}");
        assert_eq!(address.to_string(), text);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = [
        ("", "no known kind"),
        ("/run/socket", "write unix:/PATH"),
        ("udp:host:1", "no known kind"),
        ("unix:socket", "must be absolute"),
        ("unix:", "must be absolute"),
        ("unix:@", "needs a name"),
        ("unix:/a\\x00b", "NUL"),
        ("unix:/a\0b", "NUL"),
        ("unix:/a\\b", "backslash"),
        ("unix:/a\\x+1", "backslash"),
        ("tcp:7000", "no HOST:PORT"),
        ("tcp:host", "no HOST:PORT"),
        ("tcp:::1:7000", "brackets"),
        ("tcp:[::1]", "no HOST:PORT"),
        ("tcp:[host]:1", "brackets"),
        ("tcp::7000", "all interfaces"),
        ("tcp:a b:7000", "can't be a host"),
        ("tcp:[:::]:7000", "can't be a host"),
        ("tcp:host:+1", "no port"),
        ("tcp:host:65536", "no port"),
        ("tcp:host:", "no port"),
    ];
    for (text, part) in wrong {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn a_name_may_fill_the_kernels_field_and_no_more() {
    let name = |length: usize| "n".repeat(length);
    assert!(parse(&format!("unix:/{}", name(106))).is_ok());
    assert!(parse(&format!("unix:@{}", name(107))).is_ok());
    for text in [format!("unix:/{}", name(107)), format!("unix:@{}", name(108))] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("107") && error.contains("108"), "{error}");
    }
}

#[test]
fn addresses_are_made_from_what_is_at_hand() {
    let made: Result<Vec<Address>, AddressError> = [
        "tcp:localhost:1".try_into(),
        String::from("tcp:localhost:1").try_into(),
        ("localhost", 1).try_into(),
        (String::from("localhost"), 1).try_into(),
    ]
    .into_iter()
    .collect();
    assert!(made.unwrap().iter().all(|address| *address == tcp("localhost", 1)));
    assert_eq!(Address::from(SocketAddr::from(([0; 8], 9))), tcp("::", 9));
    assert_eq!(Address::try_from(Path::new("/s")), Ok(Address::Unix("/s".into())));
    assert!(Address::try_from(("", 1)).is_err());
    assert!(Address::try_from(PathBuf::from("s")).is_err());
}

#[test]
fn it_travels_as_its_text() {
    let address = tcp("::1", 7);
    let text = serde_json::to_string(&address).unwrap();
    assert_eq!(text, "\"tcp:[::1]:7\"");
    assert_eq!(serde_json::from_str::<Address>(&text).unwrap(), address);
    assert!(serde_json::from_str::<Address>("\"tcp:nowhere\"").is_err());
}

#[test]
fn the_crates_error_keeps_the_cause() {
    let error = Error::from(parse("tcp:host").unwrap_err());
    assert!(matches!(&error, Error::Address { cause } if cause.get().is::<AddressError>()));
    assert!(error.to_string().contains("tcp:[::1]:7000"), "{error}");
}

proptest! {
    #[test]
    fn any_abstract_name_survives_its_text(name in prop::collection::vec(any::<u8>(), 1..=MAX_NAME)) {
        let address = Address::Abstract(name);
        prop_assert_eq!(parse(&address.to_string()), Ok(address));
    }

    #[test]
    fn any_path_survives_its_text(name in prop::collection::vec(1_u8.., 0..MAX_NAME)) {
        let address = Address::Unix(OsString::from_vec([b"/".as_slice(), &name].concat()).into());
        prop_assert_eq!(parse(&address.to_string()), Ok(address));
    }

    #[test]
    fn whatever_parses_prints_as_something_equal(text in "(unix:[/@]|tcp:)[ -~]{0,20}") {
        if let Ok(address) = parse(&text) {
            prop_assert_eq!(parse(&address.to_string()), Ok(address));
        }
    }
}
