use super::*;
use proptest::prelude::*;

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
    # a comment:x:5:5::/:\n\
    minus:x:-1:0::/:/bin/sh\n\
    wrap:x:4294967296:0::/:/bin/sh\n\
    high:x:2147483648:0::/:/bin/sh\n\
    :x:7:7::/:/bin/sh\n\
    short:x:7\n\
    ann:x:1000:100::/home/ann:/bin/sh\n\
    ann:x:0:0::/root:/bin/sh\n\
    1000x:x:1001:1001::relative:/bin/sh\n";
const GROUP: &[u8] = b"root:x:0:\nusers:x:100:ann\naudio:x:29:bob,ann\nbad:x:-5:ann\n\
    annex:x:30:annex\naudio:x:0:ann,ann\nzero:x:00x:ann";

fn resolve(spec: &str) -> Result<User> {
    spec.parse::<UserSpec>()?.resolve(PASSWD, GROUP)
}

fn ids(user: &User) -> (u32, u32, &[u32]) {
    (user.uid(), user.gid(), user.additional_gids())
}

#[test]
fn texts_that_could_mean_another_user_are_refused() {
    for text in [
        "",
        ":",
        "1000:",
        ":1000",
        "ann:",
        ":users",
        "-1",
        "+1",
        "-",
        "1000:-1",
        "2147483648",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "1000:4294967296",
        "01",
        "00",
        " 1",
        "1 ",
        "ann ",
        "a b",
        "a\tb",
        "ann\n",
        "ann\0",
        "1:2:3",
        "ann:users:x",
        "a/b",
        "a,b",
        "\u{a0}1",
        "--user",
    ] {
        let error = text.parse::<UserSpec>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
        assert_eq!(error.object(), text);
    }
    assert!("a".repeat(257).parse::<UserSpec>().is_err());
}

#[test]
fn the_four_forms() {
    assert_eq!(ids(&resolve("ann").unwrap()), (1000, 100, &[100, 29, 0][..]));
    assert_eq!(ids(&resolve("1000").unwrap()), (1000, 100, &[100, 29, 0][..]));
    assert_eq!(ids(&resolve("1000:7").unwrap()), (1000, 7, &[7][..]));
    assert_eq!(ids(&resolve("ann:audio").unwrap()), (1000, 29, &[29][..]));
    assert_eq!(ids(&resolve("4242").unwrap()), (4242, 0, &[0][..]));
    assert_eq!(ids(&resolve("0").unwrap()), (0, 0, &[0][..]));
    // Digits are an id even where a name looks like one.
    assert_eq!(resolve("1000x").unwrap().uid(), 1001);
}

#[test]
fn home_comes_from_passwd_if_absolute() {
    assert_eq!(resolve("1000:7").unwrap().home(), Some(Path::new("/home/ann")));
    assert_eq!(resolve("1000x").unwrap().home(), None);
    assert_eq!(resolve("4242").unwrap().home(), None);
}

#[test]
fn absent_names_and_entries_out_of_range_are_not_found() {
    for spec in ["nobody", "minus", "wrap", "high", "short", "ann:nogroup", "ann:bad", "ann:zero"] {
        let error = resolve(spec).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{spec}: {error}");
    }
}

#[test]
fn large_files_are_refused() {
    let large = vec![b'a'; UserSpec::MAX_FILE + 1];
    let spec: UserSpec = "0".parse().unwrap();
    assert_eq!(spec.resolve(&large, b"").unwrap_err().kind(), ErrorKind::LimitReached);
    assert_eq!(spec.resolve(b"", &large).unwrap_err().kind(), ErrorKind::LimitReached);
}

#[test]
fn membership_in_very_many_groups_is_refused() {
    let group: String = (1..=70_000).map(|i| format!("g{i}:x:{i}:ann\n")).collect();
    let error = "ann".parse::<UserSpec>().unwrap().resolve(PASSWD, group.as_bytes());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::LimitReached);
}

#[test]
fn values_are_checked() {
    assert_eq!(User::new(1 << 31, u32::MAX - 1).unwrap().gid(), u32::MAX - 1);
    assert!(User::new(u32::MAX, 0).is_err());
    assert!(User::new(0, u32::MAX).is_err());
    assert!(UserSpec::by_ids(u32::MAX, 0).is_err());
    assert_eq!(UserSpec::by_ids(1 << 31, 0).unwrap().to_string(), "2147483648:0");
    assert!(User::root().with_additional_gids([1, u32::MAX]).is_err());
    assert!(User::root().with_umask(0o1000).is_err());
    assert_eq!(User::root().with_umask(0o077).unwrap().umask(), Some(0o077));
}

proptest! {
    #[test]
    fn spec_text_round_trips(text in "[a-z0-9:+-]{0,12}") {
        if let Ok(spec) = text.parse::<UserSpec>() {
            prop_assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn resolve_never_panics(
        spec in "(root|7)(:(users|9))?",
        passwd in "([a-z]{0,5}:){0,8}[0-9:\n-]{0,20}",
        group in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = spec.parse::<UserSpec>().unwrap().resolve(passwd.as_bytes(), &group);
    }
}
