//! What the suite says: on standard output for people; on standard error when standard output is for programs.

use super::lines::Line;
use crate::commands::check::Language;
use crate::commands::error::CommandError;
use crate::commands::global::Output;
use crate::commands::output::print;

/// Says lines in one language and remembers those of the test that runs.
pub struct Voice {
    language: Language,
    output: Output,
    lines: Vec<String>,
}

impl Voice {
    /// A voice that has said nothing yet.
    pub fn new(language: Language, output: Output) -> Self {
        Self {
            language,
            output,
            lines: Vec::new(),
        }
    }

    /// In which language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// One of these texts.
    pub fn pick<'a>(&self, es: &'a str, en: &'a str) -> &'a str {
        match self.language {
            Language::Es => es,
            Language::En => en,
        }
    }

    /// The lines since the last time.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// A fixed line.
    pub fn says(&mut self, line: Line) -> Result<(), String> {
        self.tells(line.text(self.language))
            .map_err(|error| error.to_string())
    }

    /// A line in free words.
    pub fn tells(&mut self, text: String) -> Result<(), CommandError> {
        match self.output {
            Output::Text => print(format!("{text}\n").as_bytes())?,
            Output::Json => eprintln!("{text}"),
        }
        self.lines.push(text);
        Ok(())
    }

    /// One of these lines.
    pub fn tells_pair(&mut self, es: String, en: String) -> Result<(), String> {
        let text = match self.language {
            Language::Es => es,
            Language::En => en,
        };
        self.tells(text).map_err(|error| error.to_string())
    }

    /// A test begins.
    pub fn opens(&mut self, name: &str) -> Result<(), CommandError> {
        self.tells(format!("{name} ....."))
    }

    /// A test has passed.
    pub fn passed(&mut self, name: &str) -> Result<(), CommandError> {
        let passed = self.pick("Superado", "Passed");
        self.tells(format!("..... {name} {passed}"))
    }

    /// A test has failed.
    pub fn failed(&mut self, name: &str, reason: &str) -> Result<(), CommandError> {
        let failed = self.pick("FALLO", "FAILED");
        self.tells(format!("..... {name} {failed}: {reason}"))
    }

    /// A test does not run.
    pub fn left_out(&mut self, name: &str, reason: &str) -> Result<(), CommandError> {
        let left_out = self.pick("OMITIDA", "LEFT OUT");
        self.tells(format!("{name} {left_out}: {reason}"))
    }

    /// The end of a run that was not broken off.
    pub fn sums_up(
        &mut self,
        passed: usize,
        left_out: usize,
        failed: usize,
        is_passed: bool,
    ) -> Result<(), CommandError> {
        let text = match self.language {
            Language::Es => format!("superadas: {passed}, omitidas: {left_out}, falladas: {failed}"),
            Language::En => format!("passed: {passed}, left out: {left_out}, failed: {failed}"),
        };
        self.tells(text)?;
        self.ends(is_passed)
    }

    /// The last word.
    pub fn ends(&mut self, is_passed: bool) -> Result<(), CommandError> {
        self.tells(if is_passed { "PASS" } else { "FAIL" }.to_owned())
    }
}
