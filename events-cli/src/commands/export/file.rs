//! Where an export goes: to standard output, or to a file that has its name only when it is complete.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use events_sea_orm::event;

use super::{Export, Format, format::End};
use crate::{failure::Failure, output};

/// Where events are written.
pub(super) struct Destination {
    format: Format,
    to: To,
}

enum To {
    Output(BufWriter<io::Stdout>),
    File { part: BufWriter<File>, unfinished: PathBuf, name: PathBuf },
}

/// Why an export stopped, and the last event that it wrote.
pub(super) struct Unfinished {
    pub(super) failure: Failure,
    pub(super) last: Option<i64>,
}

impl Destination {
    pub(super) fn open(export: &Export) -> Result<Self, Failure> {
        let format = export.format;
        let Some(name) = export.output.clone() else {
            let mut output = BufWriter::new(io::stdout());
            if export.after.is_none() {
                format.begin(&mut output)?;
            }
            return Ok(Self { format, to: To::Output(output) });
        };
        if name.exists() && !export.force {
            let name = name.display();
            return Err(Failure::usage(format!(
                "{name} is there already: name another file, or say --force"
            )));
        }
        let mut unfinished = name.clone().into_os_string();
        unfinished.push(".part");
        let unfinished = PathBuf::from(unfinished);
        let part = part(&unfinished, export).map_err(|error| match error {
            Failure::Failed(error) => Failure::Failed(format!("{}: {error}", unfinished.display())),
            other => other,
        })?;
        Ok(Self { format, to: To::File { part, unfinished, name } })
    }

    pub(super) fn write(&mut self, events: &[event::Model]) -> Result<(), Failure> {
        match &mut self.to {
            To::Output(output) => Ok(self.format.write(events, output)?),
            To::File { part, unfinished, .. } => {
                self.format.write(events, part).map_err(|error| in_file(unfinished, &error))
            }
        }
    }

    /// Gives the file its name.
    pub(super) fn finish(self, rows: u64) -> Result<(), Failure> {
        match self.to {
            To::Output(mut output) => Ok(output.flush()?),
            To::File { part, unfinished, name } => {
                let done = part.into_inner().map_err(io::IntoInnerError::into_error);
                let done =
                    done.and_then(|file| file.sync_all()).and_then(|()| fs::rename(&unfinished, &name));
                done.map_err(|error| in_file(&name, &error))?;
                output::note(&format!("{rows} events written to {}", name.display()));
                Ok(())
            }
        }
    }

    /// Says how to go on.
    pub(super) fn leave(self, Unfinished { failure, last }: Unfinished) -> Failure {
        let (Failure::Failed(why) | Failure::Usage(why)) = failure else { return failure };
        Failure::Failed(match (self.to, last) {
            (To::File { unfinished, .. }, None) => {
                // Nothing is in it but perhaps a line of names.
                let _ = fs::remove_file(unfinished);
                format!("{why}; nothing was written")
            }
            (To::Output(_), None) => why,
            (_, Some(last)) => {
                format!("{why}; written up to number {last}: go on with the same command and --after {last}")
            }
        })
    }
}

fn in_file(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}

/// The file under its name for the time being: new, or where an interrupted export left it.
fn part(path: &Path, export: &Export) -> Result<BufWriter<File>, Failure> {
    let shown = path.display();
    let end = match File::open(path) {
        Ok(file) => export.format.end(BufReader::new(file))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    match (end, export.after) {
        (Some(End { seq, bytes }), Some(after)) if seq == after => {
            let mut file = OpenOptions::new().write(true).open(path)?;
            file.set_len(bytes)?; // what was not written whole goes
            file.seek(SeekFrom::End(0))?;
            Ok(BufWriter::new(file))
        }
        (Some(End { seq, .. }), _) => Err(Failure::Usage(format!(
            "{shown} is left from an export that wrote up to number {seq}: go on with --after {seq}, or remove it"
        ))),
        (None, _) => {
            let mut file = BufWriter::new(File::create(path)?);
            export.format.begin(&mut file)?;
            Ok(file)
        }
    }
}
