//! What the container changed, kept as a new image, and the proof that it is in there.

use container_core::Container;
use container_fs::{ErrorKind, Stack};
use container_image::layer::{ApplyOptions, apply};
use container_image::{Commit, Image};

use crate::image::{CHANGED, Unpacked, short};
use crate::place::Place;
use crate::story::Told;
use crate::{Result, ensure, overlay};

/// What the script in the image changes.
const EXPECTED: [&str; 4] = ["D /data/draft", "A /data/new", "A /data/new/report", "M /etc/motd"];

/// Lists what the writable directory holds.
pub(crate) fn list(told: &mut Told, stack: &Stack) -> Result<()> {
    let changes: Vec<String> = stack.changes()?.iter().map(ToString::to_string).collect();
    ensure(changes == EXPECTED, || format!("{changes:?} instead of {EXPECTED:?}"))?;
    told.say(changes.join("   "));
    Ok(())
}

/// Makes an image of it.
pub(crate) fn commit(told: &mut Told, from: &Unpacked, stack: &Stack) -> Result<Image> {
    let upper = stack.upper().ok_or("a stack without a writable directory")?;
    let commit = Commit::new("what the quickstart's container changed");
    let image = from.store.commit(&from.image, upper, &CHANGED.parse()?, &commit)?;
    let (old, new) = (from.image.chain_ids(), image.chain_ids());
    ensure(new.len() == old.len() + 1 && new.starts_with(&old), || {
        format!("the new image does not stand on the old one: {new:?}")
    })?;
    let top = new.last().map(ToString::to_string).unwrap_or_default();
    told.say(format!("{CHANGED}, {} layers, ChainID {}", new.len(), short(&top)));
    Ok(image)
}

/// Runs the new image once, read-only.
pub(crate) fn run(
    told: &mut Told,
    from: &Unpacked,
    image: &Image,
    place: &Place,
    can_mount: bool,
) -> Result<()> {
    let layers = from.store.unpack(image)?;
    let stack = Stack::new(&layers);
    let mut way = "as a read-only overlay";
    let rootfs = match overlay::read_only(&stack, can_mount) {
        Err(error) if error.kind() == ErrorKind::TooLong => {
            // Before Linux 6.7 the options of an overlay that a container mounts by itself have
            // 255 bytes in all for the names of its layers.
            way = "copied into one directory, as this kernel takes few layers from a user";
            let flat = place.make("flat")?;
            for layer in image.layers() {
                let blob = from.store.path().join("blobs/sha256").join(layer.digest().hex());
                let options = ApplyOptions::plain(layer.compression());
                let _ = apply(std::fs::File::open(blob)?, &flat, &options)?;
            }
            flat.into()
        }
        other => other?,
    };
    let script = "cat /data/new/report; test ! -e /data/draft; cat /etc/motd";
    let output = Container::builder(rootfs).command("/bin/sh").args(["-euc", script]).output()?;
    let (stdout, stderr) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    ensure(output.status.success(), || format!("{}: {stderr}", output.status))?;
    let expected = format!("all is well\n{}changed by the container\n", crate::image::MOTD);
    ensure(stdout == expected.as_bytes(), || {
        format!("it shows {:?} instead of {expected:?}", String::from_utf8_lossy(&stdout))
    })?;
    told.say(format!("{CHANGED} {way}: what was changed, is"));
    Ok(())
}
