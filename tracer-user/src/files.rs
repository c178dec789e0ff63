//! Files that the agent writes: their owner's alone, since they tell what went over the wire.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const MODE: u32 = 0o600;

/// Whether nobody can find the file any more: it has no name, as one that was removed.
pub fn is_nameless(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|data| data.is_file() && data.nlink() == 0)
}

/// Creates a file, or opens the one that is there, which is as closed from then on as a new one. `empty`:
/// what it holds is gone at once.
///
/// # Errors
///
/// What the file system says.
pub fn create(path: &Path, empty: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(empty).mode(MODE);
    let file = options.open(path)?;
    // A pipe or a terminal is not ours to close.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}
