//! What a test needs, and whether it is there.

use super::disruptive::Hands;
use super::lab::Lab;
use super::lines::Test;
use super::small_disk::SmallDisk;
use crate::commands::check::Language;

/// Tests that take a member away need so many.
const SEATS_MIN: usize = 3;

/// Why a test cannot run here; `None` when it can.
pub fn cannot(test: Test, lab: &Lab, hands: &Hands, language: Language) -> Option<String> {
    let given = &hands.arguments;
    let takes_away = test.cuts() || test.is_disruptive();
    if takes_away && lab.seats.len() < SEATS_MIN {
        let count = lab.seats.len();
        return Some(pick(
            language,
            format!("hacen falta {SEATS_MIN} miembros con voto, hay {count}"),
            format!("it takes {SEATS_MIN} voters, there are {count}"),
        ));
    }
    match test {
        Test::LeaderKilled if given.kill_command.is_some() || lab.has_own() => None,
        test if test.cuts() || test == Test::LeaderKilled => {
            let (name, reason) = lab.not_for_exercises()?;
            Some(pick(
                language,
                format!("{name} no admite ejercicios: {reason}"),
                format!("{name} allows no exercises: {reason}"),
            ))
        }
        Test::LostDisk if given.wipe_command.is_none() && !lab.has_own() => {
            Some(missing(language, "--wipe-command"))
        }
        Test::Scale if given.scale_command.is_none() && !lab.has_own() => {
            Some(missing(language, "--scale-command"))
        }
        Test::FullDisk if given.fill_command.is_none() && lab.has_own() => {
            let reason = SmallDisk::new(&std::env::temp_dir()).err()?;
            Some(pick(
                language,
                format!("no se puede hacer aquí un disco pequeño: {reason}"),
                format!("no small disk can be made here: {reason}"),
            ))
        }
        Test::FullDisk if given.fill_command.is_none() || given.free_command.is_none() => {
            Some(missing(language, "--fill-command, --free-command"))
        }
        _ => None,
    }
}

fn missing(language: Language, flags: &str) -> String {
    pick(
        language,
        format!("hace falta decir cómo: {flags}"),
        format!("somebody must say how: {flags}"),
    )
}

fn pick(language: Language, es: String, en: String) -> String {
    match language {
        Language::Es => es,
        Language::En => en,
    }
}
