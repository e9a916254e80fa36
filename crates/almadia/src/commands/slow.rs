//! What `almadia status` says about slow requests, in words: how many there were and why. Other servers than Almadia's have
//! no such question and are passed over; so are members that may not be asked.

use almadia_etcd::proto::almadia_v1::admin_client::AdminClient;
use almadia_etcd::proto::almadia_v1::{SlowRequest, SlowResponse};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::each;
use super::global::Address;
use super::output::Report;

/// Asks these and adds what they say below the report.
pub async fn add(report: &mut Report, cluster: &Cluster, addresses: Vec<Address>) {
    let asked = each::ask(
        addresses,
        cluster.timeout(),
        cluster.login(),
        |channel| async move { AdminClient::new(channel).slow(SlowRequest {}).await },
    );
    for asked in asked.await {
        let Ok(answer) = asked.answer else { continue };
        let endpoint = &asked.address.authority;
        if let Some(line) = line(endpoint, &answer) {
            report.text.extend_from_slice(line.as_bytes());
        }
        if let Some(members) = report.json["members"].as_array_mut()
            && let Some(member) = members.iter_mut().find(|member| member["endpoint"] == **endpoint)
        {
            member["slow"] = as_json(&answer);
        }
    }
}

/// Nothing where nothing was slow.
fn line(endpoint: &str, answer: &SlowResponse) -> Option<String> {
    let total: u64 = answer.counts.iter().map(|count| count.count).sum();
    let most = answer.counts.iter().max_by_key(|count| count.count)?;
    if total == 0 {
        return None;
    }
    let noun = if total == 1 { "request" } else { "requests" };
    let last = answer.recent.first().map(|last| {
        let ms = last.micros / 1000;
        let parts = last.parts.iter().filter(|part| part.micros >= 1000);
        let parts: Vec<String> = parts
            .map(|part| format!("{} {} ms", part.part, part.micros / 1000))
            .collect();
        format!("; the last, {}, took {ms} ms: {}", last.method, parts.join(", "))
    });
    Some(format!(
        "{endpoint}: {total} slow {noun} since it was started, mostly because {} ({} of them){}\n",
        most.words,
        most.count,
        last.unwrap_or_default()
    ))
}

fn as_json(answer: &SlowResponse) -> Value {
    let counts: serde_json::Map<String, Value> = answer
        .counts
        .iter()
        .map(|count| (count.part.clone(), count.count.into()))
        .collect();
    let recent: Vec<Value> = answer
        .recent
        .iter()
        .map(|call| {
            let parts: serde_json::Map<String, Value> = call
                .parts
                .iter()
                .map(|part| (part.part.clone(), part.micros.into()))
                .collect();
            json!({
                "ended_unix_ms": call.ended_unix_ms,
                "method": call.method,
                "key": call.key,
                "client": call.client,
                "micros": call.micros,
                "parts_micros": parts,
                "why": call.words,
            })
        })
        .collect();
    json!({ "counts": counts, "recent": recent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use almadia_etcd::proto::almadia_v1::{SlowCall, SlowCount, SlowPart};

    #[test]
    fn what_was_slow_is_said_in_words() {
        let count = |part: &str, words: &str, count| SlowCount {
            part: part.to_owned(),
            words: words.to_owned(),
            count,
        };
        let mut answer = SlowResponse {
            member_id: 7,
            counts: vec![
                count("disk", "the disk was slow", 2),
                count("quorum", "a majority was slow", 5),
            ],
            recent: vec![SlowCall {
                method: "etcdserverpb.KV/Put".to_owned(),
                micros: 362_400,
                parts: vec![
                    SlowPart {
                        part: "queue".to_owned(),
                        micros: 10,
                    },
                    SlowPart {
                        part: "quorum".to_owned(),
                        micros: 340_000,
                    },
                ],
                ..SlowCall::default()
            }],
        };
        let expected = "h:1: 7 slow requests since it was started, mostly because a majority was slow (5 of them); the last, \
            etcdserverpb.KV/Put, took 362 ms: quorum 340 ms\n";
        assert_eq!(line("h:1", &answer).as_deref(), Some(expected));
        assert_eq!(as_json(&answer)["counts"]["quorum"], 5);
        assert_eq!(as_json(&answer)["recent"][0]["parts_micros"]["quorum"], 340_000);
        answer.counts.iter_mut().for_each(|count| count.count = 0);
        assert_eq!(line("h:1", &answer), None);
    }
}
