//! Digests: content named by its hash.
//!
//! Everything in an OCI image is named by the hash of its bytes. Three different
//! hashes are met, and mixing them up is the classic mistake, so each is a type:
//!
//! | type | hash of | used for |
//! |---|---|---|
//! | [`Digest`] | a blob as stored and sent (a layer: *compressed*) | descriptors, `blobs/sha256/…` |
//! | [`DiffId`] | a layer's *uncompressed* tar | `rootfs.diff_ids` in the config |
//! | [`ChainId`] | a layer *and all layers below it* | the key of an unpacked layer |
//!
//! A `DiffId` alone can't name an unpacked layer: what a layer means on disk
//! (which parents it whites out, which directory it merges with) depends on what
//! lies below. So the ChainID is a recursion over the stack, from the bottom up:
//!
//! ```text
//! ChainID(L0)            = DiffID(L0)
//! ChainID(L0 | … | Ln)   = SHA256( ChainID(L0 | … | Ln-1) + " " + DiffID(Ln) )
//! ```
//!
//! where both sides of the space are the full text form, `sha256:` and all.
//! Two images that share their first three layers share three ChainIDs.
//!
//! # Worked example
//!
//! Three layers whose uncompressed tars are, for the sake of the example, the
//! three texts `base`, `app` and `config`:
//!
//! ```
//! use container_image::{ChainId, DiffId, Digest};
//!
//! let base = DiffId::from(Digest::sha256(b"base"));
//! let app = DiffId::from(Digest::sha256(b"app"));
//! let config = DiffId::from(Digest::sha256(b"config"));
//!
//! // The bottom layer's ChainID is its DiffID.
//! let first = ChainId::base(&base);
//! assert_eq!(first.to_string(), base.to_string());
//!
//! // The next hashes the text "<chain-id below> <diff-id>".
//! let second = first.then(&app);
//! let text = format!("{base} {app}");
//! assert_eq!(*second.digest(), Digest::sha256(text.as_bytes()));
//! assert_eq!(
//!     second.to_string(),
//!     "sha256:d36bf539d1c8c1d8ca518fb0444ef799dfd1dc2914d14418e845c39b3e016a26"
//! );
//!
//! // And so on; `ChainId::of` does the whole stack.
//! let third = second.then(&config);
//! assert_eq!(ChainId::of(&[base, app, config]), vec![first, second, third]);
//! ```
//!
//! Specification: [descriptor.md, "Digests"] and [config.md, "Layer ChainID"].
//!
//! [descriptor.md, "Digests"]: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
//! [config.md, "Layer ChainID"]: https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, ErrorKind, Result};

/// A hash algorithm that digests of the specification may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, the one that everybody uses.
    Sha256,
    /// SHA-512: understood and verified, never written by this crate.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon, also the folder below `blobs/`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Hexadecimal digits that a digest of this algorithm has.
    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The name of a blob: algorithm and hash of its bytes, `sha256:` and 64 lowercase hex digits.
///
/// Digests become file names, so the parser takes nothing but the exact form: no upper case,
/// no other algorithm, no path part can get through.
///
/// ```
/// use container_image::Digest;
///
/// let digest = Digest::sha256(b"");
/// assert_eq!(
///     digest.as_str(),
///     "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
/// );
/// assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
/// assert!("sha256:E3B0".parse::<Digest>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    text: Box<str>,
}

impl Digest {
    /// The SHA-256 digest of some bytes.
    #[must_use]
    pub fn sha256(bytes: impl AsRef<[u8]>) -> Self {
        Self::from_hash(Algorithm::Sha256, &Sha256::digest(bytes.as_ref()))
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(8 + 2 * hash.len());
        text.push_str(algorithm.as_str());
        text.push(':');
        for byte in hash {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Self { algorithm, text: text.into_boxed_str() }
    }

    /// The algorithm in front of the colon.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The lowercase hex digits behind the colon.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    /// The whole text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::InvalidDigest`] for anything but the exact form.
    fn from_str(text: &str) -> Result<Self> {
        let refuse =
            |reason| Err(Error::new(ErrorKind::InvalidDigest, "parse digest", text, reason));
        let (algorithm, hex) = match text.split_once(':') {
            Some(("sha256", hex)) => (Algorithm::Sha256, hex),
            Some(("sha512", hex)) => (Algorithm::Sha512, hex),
            Some(_) => return refuse("the algorithm is neither sha256 nor sha512"),
            None => {
                return refuse("there is no ':'; the form is sha256: and 64 lowercase hex digits");
            }
        };
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != algorithm.hex_len() || !hex.bytes().all(lower_hex) {
            return refuse(match algorithm {
                Algorithm::Sha256 => "not 64 lowercase hex digits after sha256:",
                Algorithm::Sha512 => "not 128 lowercase hex digits after sha512:",
            });
        }
        Ok(Self { algorithm, text: text.into() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl AsRef<str> for Digest {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl TryFrom<&oci_spec::image::Digest> for Digest {
    type Error = Error;

    /// # Errors
    /// [`ErrorKind::InvalidDigest`]: the specification's grammar allows algorithms that this
    /// crate can't verify.
    fn try_from(digest: &oci_spec::image::Digest) -> Result<Self> {
        digest.as_ref().parse()
    }
}

/// The hash of a layer's uncompressed tar; listed in the config's `rootfs.diff_ids`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiffId(Digest);

/// The hash of a layer with everything below it; the key of an unpacked layer.
///
/// See the [module documentation](self) for the recursion and a worked example. It can be
/// computed only from [`DiffId`]s, so that no blob digest gets in by mistake:
///
/// ```compile_fail
/// use container_image::{ChainId, Digest};
/// let blob = Digest::sha256(b"a compressed layer");
/// let wrong = ChainId::base(&blob); // expected `&DiffId`, found `&Digest`
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(Digest);

impl DiffId {
    /// The digest itself.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.0
    }
}

impl From<Digest> for DiffId {
    /// States that `digest` is that of an uncompressed layer.
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl FromStr for DiffId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self)
    }
}

impl ChainId {
    /// The ChainID of a bottom layer: its DiffID.
    #[must_use]
    pub fn base(layer: &DiffId) -> Self {
        Self(layer.0.clone())
    }

    /// The ChainID of `layer` lying on this chain.
    #[must_use]
    pub fn then(&self, layer: &DiffId) -> Self {
        Self(Digest::sha256(format!("{} {}", self.0, layer.0)))
    }

    /// The ChainID of each layer of a stack, bottom first; the last one names the whole stack.
    #[must_use]
    pub fn of(layers: &[DiffId]) -> Vec<Self> {
        let mut chain: Vec<Self> = Vec::with_capacity(layers.len());
        for layer in layers {
            chain.push(match chain.last() {
                None => Self::base(layer),
                Some(below) => below.then(layer),
            });
        }
        chain
    }

    /// The digest itself.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A running hash of one of the known algorithms.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Box::new(Sha512::new())),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => Digest::from_hash(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => Digest::from_hash(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_hashes() {
        assert_eq!(
            Digest::sha256("abc").hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let mut hash = Hasher::new(Algorithm::Sha512);
        hash.update(b"abc");
        assert!(hash.finish().hex().starts_with("ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn strict_parse() {
        let hex = "a".repeat(64);
        assert!(format!("sha256:{hex}").parse::<Digest>().is_ok());
        assert!(format!("sha512:{hex}{hex}").parse::<Digest>().is_ok());
        for bad in [
            String::new(),
            "sha256".into(),
            "sha256:".into(),
            hex.clone(),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}", "a".repeat(63)),
            format!("sha256:{}", "a".repeat(65)),
            format!("sha256:{hex}\n"),
            format!(" sha256:{hex}"),
            format!("SHA256:{hex}"),
            format!("md5:{}", "a".repeat(32)),
            format!("sha512:{hex}"),
            format!("sha256:../../{}", "a".repeat(58)),
            format!("sha256:{}é", "a".repeat(62)),
        ] {
            let error = bad.parse::<Digest>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidDigest, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_itself_or_not_at_all(text in "(sha(256|512):)?\\PC{0,140}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.as_str(), text.as_str());
                prop_assert!(!digest.hex().contains(['/', '.']));
            }
        }

        #[test]
        fn hashing_in_pieces_is_hashing_at_once(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0usize..2000
        ) {
            let cut = cut.min(bytes.len());
            let mut hash = Hasher::new(Algorithm::Sha256);
            hash.update(&bytes[..cut]);
            hash.update(&bytes[cut..]);
            prop_assert_eq!(hash.finish(), Digest::sha256(&bytes));
        }

        #[test]
        fn chains_share_their_common_prefix(n in 1usize..6, m in 1usize..6) {
            let ids: Vec<DiffId> = (0..n + m).map(|i| Digest::sha256([i as u8]).into()).collect();
            let all = ChainId::of(&ids);
            prop_assert_eq!(&all[..n], &ChainId::of(&ids[..n])[..]);
            prop_assert_eq!(all.len(), n + m);
        }
    }
}
