//! Where a write came to stand: log index, term and leader, as the member tells them when asked.
//!
//! Never asks by itself; other etcd servers tell the term only.

use almadia_etcd::proto::etcdserverpb::ResponseHeader;
use tonic::metadata::MetadataMap;

/// A write's place in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Log index.
    pub log_index: Option<u64>,
    /// Term.
    pub term: Option<u64>,
    /// The leader's member id.
    pub leader: Option<u64>,
    /// The leader's name.
    pub leader_name: Option<String>,
}

impl Position {
    /// Reads it from an answer's metadata; the term also from its header.
    pub fn read(metadata: &MetadataMap, header: Option<&ResponseHeader>) -> Self {
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        let header_term = header.map(|header| header.raft_term).filter(|term| *term != 0);
        Self {
            log_index: text("almadia-log-index").and_then(|text| text.parse().ok()),
            term: text("almadia-term")
                .and_then(|text| text.parse().ok())
                .or(header_term),
            leader: text("almadia-leader").and_then(|text| u64::from_str_radix(text, 16).ok()),
            leader_name: text("almadia-leader-name").map(str::to_owned),
        }
    }

    /// For people: `, log index 17, term 94, leader almadia-1`; empty when nothing but the term is known.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(index) = self.log_index {
            text.push_str(&format!(", log index {index}"));
        }
        if let Some(term) = self.term {
            text.push_str(&format!(", term {term}"));
        }
        match (&self.leader_name, self.leader) {
            (Some(name), _) => text.push_str(&format!(", leader {name}")),
            (None, Some(id)) => text.push_str(&format!(", leader {id:x}")),
            (None, None) => {}
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "log_index": self.log_index,
            "term": self.term,
            "leader": self.leader.map(|id| format!("{id:x}")),
            "leader_name": self.leader_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_before_the_header() {
        let mut metadata = MetadataMap::new();
        let header = ResponseHeader {
            raft_term: 3,
            ..Default::default()
        };
        let bare = Position::read(&metadata, Some(&header));
        assert_eq!(
            bare,
            Position {
                term: Some(3),
                ..Position::default()
            }
        );
        assert_eq!(bare.text(), ", term 3");
        for (name, value) in [
            ("almadia-log-index", "17"),
            ("almadia-term", "94"),
            ("almadia-leader", "8e9e05c52164694d"),
            ("almadia-leader-name", "almadia-1"),
        ] {
            metadata.insert(name, value.parse().expect("ASCII"));
        }
        let full = Position::read(&metadata, Some(&header));
        assert_eq!(full.text(), ", log index 17, term 94, leader almadia-1");
        assert_eq!(full.leader, Some(0x8e9e_05c5_2164_694d));
        assert_eq!(full.json()["leader"], "8e9e05c52164694d");
    }
}
