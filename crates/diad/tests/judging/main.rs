//! `inspect` and `eval` from outside: the real program on the fixture bundle, its files, its standard output and its
//! exit code.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail like the test itself")]

mod eval;
mod inspect;
mod witnesses;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, str};

use image::{Rgb, RgbImage};
use serde_json::Value;

/// What `diad COMMAND --model MICRO ARGUMENTS` did.
struct Run(Output);

/// A folder of the engine's fixtures.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../diad_engine/tests/fixtures").join(name)
}

impl Run {
    fn of(command: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        // Nothing was learnt below a state folder that is not there.
        Self::with(&fixture("micro"), Path::new("/nowhere"), command, arguments)
    }

    /// The same with another model, the test foundation and a state folder.
    fn with(model: &Path, state: &Path, command: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        Self::at(&fixture("foundation"), model, state, command, arguments)
    }

    fn at(foundations: &Path, model: &Path, state: &Path, command: &str, arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_diad"));
        program.arg(command).arg("--model").arg(model).args(arguments).env("DIAD_LOG", "error");
        program.env("DIAD_STATE", state).env("DIAD_FOUNDATIONS", foundations);
        Self(program.output().unwrap())
    }

    /// Fails unless the program ended with this code.
    #[track_caller]
    fn expect_code(self, want: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(want), "{}\n{}", self.stdout(), self.stderr());
        self
    }

    fn stdout(&self) -> &str {
        str::from_utf8(&self.0.stdout).unwrap()
    }

    fn stderr(&self) -> &str {
        str::from_utf8(&self.0.stderr).unwrap()
    }

    /// Standard output is one JSON document and nothing else.
    #[track_caller]
    fn document(&self) -> Value {
        serde_json::from_str(self.stdout()).unwrap_or_else(|error| panic!("{error}: {}", self.stdout()))
    }
}

/// A picture with a pattern of its own for every `seed`.
fn pattern(side: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        Rgb([(x * 3 + seed * 40) as u8, (y * 5 + seed * 7) as u8, ((x * y) / 7 + seed * 90) as u8])
    })
}

/// Saves a picture, in a folder that is made.
fn save(path: PathBuf, picture: &RgbImage) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(&path).unwrap();
    path
}
