//! The names and lines of the acceptance suite (M2). Courses grep them: they are fixed, letter by letter.

use crate::commands::check::Language;

/// A test of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// All members start and answer.
    Start,
    /// One member leads.
    FirstLeader,
    /// The leader is cut off, another is elected.
    NewLeader,
    /// Three writes in a row.
    ThreeOperations,
    /// Writes go on without a follower, which catches up.
    FollowerCut,
    /// Without a majority nothing commits.
    NoAgreement,
    /// Five writes at the same time.
    AtTheSameTime,
    /// The leader's process dies.
    LeaderKilled,
    /// The leader is alone on its side of the network.
    Partition,
    /// A follower comes back empty.
    LostDisk,
    /// Members come and go.
    Scale,
    /// A follower's disk is full.
    FullDisk,
}

impl Test {
    /// In the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::Start,
        Self::FirstLeader,
        Self::NewLeader,
        Self::ThreeOperations,
        Self::FollowerCut,
        Self::NoAgreement,
        Self::AtTheSameTime,
    ];

    /// What `--disruptive` adds, in the order in which it runs.
    pub const DISRUPTIVE: [Self; 5] = [
        Self::LeaderKilled,
        Self::Partition,
        Self::LostDisk,
        Self::Scale,
        Self::FullDisk,
    ];

    /// Its name, the same in all languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "TestPrimerasPruebas/T1:soloArranqueYparada",
            Self::FirstLeader => "TestPrimerasPruebas/T2:ElegirPrimerLider",
            Self::NewLeader => "TestPrimerasPruebas/T3:FalloAnteriorElegirNuevoLider",
            Self::ThreeOperations => "TestPrimerasPruebas/T4:tresOperacionesComprometidasEstable",
            Self::FollowerCut => "TestAcuerdosConFallos/T5:AcuerdoAPesarDeDesconexionesDeSeguidor_",
            Self::NoAgreement => "TestAcuerdosConFallos/T5:SinAcuerdoPorFallos_",
            Self::AtTheSameTime => "TestAcuerdosConFallos/T5:SometerConcurrentementeOperaciones_",
            Self::LeaderKilled => "TestPerturbaciones/P1:LiderMuerto",
            Self::Partition => "TestPerturbaciones/P2:RedPartida",
            Self::LostDisk => "TestPerturbaciones/P3:DiscoPerdido",
            Self::Scale => "TestPerturbaciones/P4:Escalado",
            Self::FullDisk => "TestPerturbaciones/P5:DiscoLleno",
        }
    }

    /// What its keys are called.
    pub fn key(self) -> &'static str {
        self.name()
            .split(['/', ':'])
            .nth(1)
            .expect("every name has a number")
    }

    /// Whether it cuts members off.
    pub fn cuts(self) -> bool {
        matches!(
            self,
            Self::NewLeader | Self::FollowerCut | Self::NoAgreement | Self::Partition
        )
    }

    /// Whether it is told under load.
    pub fn is_disruptive(self) -> bool {
        Self::DISRUPTIVE.contains(&self)
    }
}

/// A line between a test's first and its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Each member is asked who leads.
    LookingForLeader,
    /// This ordinal leads in this term.
    Leader(u64, u64),
    /// This ordinal is cut off.
    Cutting(u64),
    /// It is healed.
    Healing(u64),
    /// It has all entries, committed.
    Good(u64),
    /// It has not.
    NotCommitted(u64),
}

impl Line {
    /// As it is printed.
    pub fn text(self, language: Language) -> String {
        match (language, self) {
            (Language::Es, Self::LookingForLeader) => "Probando lider en curso".to_owned(),
            (Language::En, Self::LookingForLeader) => "Looking for the current leader".to_owned(),
            (Language::Es, Self::Leader(leader, term)) => format!("Lider: {leader}, mandato: {term}"),
            (Language::En, Self::Leader(leader, term)) => format!("Leader: {leader}, term: {term}"),
            (Language::Es, Self::Cutting(ordinal)) => format!("Desconecto a: {ordinal}"),
            (Language::En, Self::Cutting(ordinal)) => format!("Disconnecting: {ordinal}"),
            (Language::Es, Self::Healing(ordinal)) => format!("Reconectando {ordinal}"),
            (Language::En, Self::Healing(ordinal)) => format!("Reconnecting {ordinal}"),
            (Language::Es, Self::Good(ordinal)) => format!("BIEN: {ordinal}"),
            (Language::En, Self::Good(ordinal)) => format!("GOOD: {ordinal}"),
            (Language::Es, Self::NotCommitted(ordinal)) => {
                format!("El nodo {ordinal} no tiene todas las entradas comprometidas")
            }
            (Language::En, Self::NotCommitted(ordinal)) => {
                format!("Member {ordinal} does not have all entries committed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: the lines that courses look for, letter by letter (M2).
    #[test]
    fn the_lines() {
        for (line, text) in [
            (Line::LookingForLeader, "Probando lider en curso"),
            (Line::Leader(2, 17), "Lider: 2, mandato: 17"),
            (Line::Cutting(0), "Desconecto a: 0"),
            (Line::Healing(2), "Reconectando 2"),
            (Line::Good(1), "BIEN: 1"),
            (
                Line::NotCommitted(1),
                "El nodo 1 no tiene todas las entradas comprometidas",
            ),
        ] {
            assert_eq!(line.text(Language::Es), text);
            assert_ne!(line.text(Language::En), text);
        }
    }
}
