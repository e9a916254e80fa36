//! Disturbances as a table, or JSON.
//!
//! Renders and nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Outcome, Phase};
use crate::bench::report::{markdown, number};
use crate::bench::statistics::{median, ratio};

const FIGURES_COUNT: usize = 13;

/// The figures: how each is called in the table and in JSON.
const FIGURES: [(&str, &str); FIGURES_COUNT] = [
    ("puts/s before", "puts_per_second_before"),
    ("during", "puts_per_second_during"),
    ("CPU µs/put before", "server_cpu_us_per_put_before"),
    ("during", "server_cpu_us_per_put_during"),
    ("p50 ms before", "p50_ms_before"),
    ("during", "p50_ms_during"),
    ("p99 ms before", "p99_ms_before"),
    ("during", "p99_ms_during"),
    ("during ÷ before", "p99_growth"),
    ("max ms before", "max_ms_before"),
    ("during", "max_ms_during"),
    ("done after s", "done_after_seconds"),
    ("generator µs/put", "generator_cpu_us_per_put"),
];

type Figures = [Option<f64>; FIGURES_COUNT];

/// One disturbance, measured.
pub struct Cell {
    name: String,
    clients: usize,
    sides: Vec<Side>,
    /// First side over second, if there are two.
    ratios: Option<Figures>,
}

struct Side {
    name: String,
    figures: Figures,
    failures: BTreeMap<String, u64>,
    is_wrong: bool,
}

impl Cell {
    /// The outcomes of all rounds of each side: medians, and medians of the ratios between neighbours.
    pub fn new(name: String, clients: usize, outcomes: Vec<(String, Vec<Outcome>)>) -> Self {
        let each: Vec<Vec<Figures>> = outcomes
            .iter()
            .map(|(_, rounds)| rounds.iter().map(figures).collect())
            .collect();
        let ratios = match &each[..] {
            [subject, reference] => {
                let pairs = subject.iter().zip(reference);
                let ratios: Vec<Figures> = pairs.map(|(a, b)| over(a, b)).collect();
                Some(medians(&ratios))
            }
            _ => None,
        };
        let sides = outcomes.into_iter().zip(&each);
        Self {
            name,
            clients,
            sides: sides
                .map(|((name, rounds), figures)| Side::new(name, &rounds, medians(figures)))
                .collect(),
            ratios,
        }
    }

    /// Whether nothing was measured, or a disturber found something wrong.
    pub fn is_wrong(&self) -> bool {
        let mut sides = self.sides.iter();
        sides.any(|side| side.is_wrong || side.figures[0].unwrap_or(0.0) == 0.0)
    }
}

impl Side {
    fn new(name: String, rounds: &[Outcome], figures: Figures) -> Self {
        let mut failures = BTreeMap::new();
        for (reason, count) in rounds.iter().flat_map(|round| &round.failures) {
            *failures.entry(reason.clone()).or_default() += count;
        }
        Self {
            name,
            figures,
            failures,
            is_wrong: rounds.iter().any(|round| round.is_wrong),
        }
    }
}

fn figures(outcome: &Outcome) -> Figures {
    let both = |figure: &dyn Fn(&Phase) -> Option<f64>| [&outcome.before, &outcome.during].map(figure);
    let quantile = |quantile: f64| {
        move |phase: &Phase| {
            let has_any = !phase.latencies_ns.is_empty();
            has_any.then(|| phase.latencies_ns.value_at_quantile(quantile) as f64 / 1e6)
        }
    };
    let rate = both(&|phase| ratio(Some(phase.operations as f64), Some(phase.seconds)));
    let cpu = both(&|phase| {
        let us = phase.server_cpu?.as_secs_f64() * 1e6;
        ratio(Some(us), Some(phase.operations as f64))
    });
    let (p50, p99, max) = (both(&quantile(0.5)), both(&quantile(0.99)), both(&quantile(1.0)));
    [
        rate[0],
        rate[1],
        cpu[0],
        cpu[1],
        p50[0],
        p50[1],
        p99[0],
        p99[1],
        ratio(p99[1], p99[0]),
        max[0],
        max[1],
        outcome.done_after.map(|time| time.as_secs_f64()),
        Some(outcome.generator_us).filter(|us| us.is_finite()),
    ]
}

fn over(a: &Figures, b: &Figures) -> Figures {
    std::array::from_fn(|at| ratio(a[at], b[at]))
}

fn medians(each: &[Figures]) -> Figures {
    std::array::from_fn(|at| median(each.iter().filter_map(|figures| figures[at])))
}

/// All disturbances as one table.
pub fn table(cells: &[Cell]) -> String {
    let mut header = vec!["disturbance", "clients", "side"];
    header.extend(FIGURES.map(|(title, _)| title));
    header.push("failed");
    let mut rows = Vec::new();
    for cell in cells {
        let mut front = [cell.name.clone(), cell.clients.to_string()];
        for side in &cell.sides {
            let failed: u64 = side.failures.values().sum();
            rows.push(row(
                std::mem::take(&mut front),
                &side.name,
                &side.figures,
                false,
                failed.to_string(),
            ));
        }
        if let Some(ratios) = &cell.ratios {
            rows.push(row(
                <[String; 2]>::default(),
                "**ratio**",
                ratios,
                true,
                String::new(),
            ));
        }
    }
    markdown(&header, &rows)
}

fn row(front: [String; 2], side: &str, figures: &Figures, is_ratio: bool, failed: String) -> Vec<String> {
    let shown = figures.map(|figure| figure.map_or("–".to_owned(), |figure| number(figure, is_ratio)));
    let mut row = front.to_vec();
    row.push(side.to_owned());
    row.extend(shown);
    row.push(failed);
    row
}

/// What went wrong, one line for each reason; empty when nothing did.
pub fn failures(cells: &[Cell]) -> String {
    let mut text = String::new();
    for cell in cells {
        for side in &cell.sides {
            for (reason, count) in &side.failures {
                text += &format!("failed: {}, {}: {count} × {reason}\n", cell.name, side.name);
            }
        }
    }
    text
}

/// All disturbances, for programs.
pub fn json(cells: &[Cell]) -> Value {
    let of_side = |side: &Side| {
        json!({
            "name": side.name,
            "figures": figures_json(&side.figures),
            "failures": side.failures,
        })
    };
    let of_cell = |cell: &Cell| {
        json!({
            "disturbance": cell.name,
            "clients": cell.clients,
            "sides": cell.sides.iter().map(of_side).collect::<Vec<_>>(),
            "ratios": cell.ratios.as_ref().map(figures_json),
        })
    };
    cells.iter().map(of_cell).collect()
}

fn figures_json(figures: &Figures) -> Value {
    let named = FIGURES.iter().zip(figures);
    let map: Map<String, Value> = named
        .map(|((_, name), figure)| ((*name).to_owned(), json!(figure)))
        .collect();
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::engine::load::Load;
    use std::time::Duration;

    fn outcome(during_ms: u64, is_wrong: bool) -> Outcome {
        let phase = |operations, ms: u64| {
            let mut latencies_ns = Load::empty().latencies_ns;
            latencies_ns.saturating_record_n(ms * 1_000_000, operations);
            Phase {
                operations,
                latencies_ns,
                seconds: 2.0,
                server_cpu: Some(Duration::from_millis(10)),
            }
        };
        Outcome {
            before: phase(1_000, 2),
            during: phase(500, during_ms),
            done_after: Some(Duration::from_millis(2_500)),
            generator_us: 1.5,
            failures: [("late".to_owned(), 1)].into(),
            is_wrong,
        }
    }

    #[test]
    fn figures_before_and_during() {
        let rounds = |during_ms| vec![outcome(during_ms, false), outcome(during_ms, false)];
        let sides = vec![("a".to_owned(), rounds(4)), ("b".to_owned(), rounds(16))];
        let cell = Cell::new("compaction".to_owned(), 64, sides);
        assert!(!cell.is_wrong());
        let json = json(std::slice::from_ref(&cell));
        let of = |path: &str| json[0].pointer(path).and_then(Value::as_f64).expect("a number");
        assert_eq!(of("/sides/0/figures/puts_per_second_before"), 500.0);
        assert_eq!(of("/sides/0/figures/server_cpu_us_per_put_during"), 20.0);
        assert_eq!(of("/sides/0/failures/late"), 2.0);
        assert!((of("/sides/1/figures/p99_growth") - 8.0).abs() < 0.1);
        assert!((of("/ratios/p99_growth") - 0.25).abs() < 0.01);
        let text = table(std::slice::from_ref(&cell));
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.contains("0.25×") && text.contains("2.50"), "{text}");
        assert_eq!(failures(&[cell]).lines().count(), 2);
    }

    #[test]
    fn what_the_disturber_found_wrong_counts() {
        let cell = Cell::new("x".to_owned(), 1, vec![("a".to_owned(), vec![outcome(1, true)])]);
        assert!(cell.is_wrong());
        assert!(Cell::new("x".to_owned(), 1, vec![("a".to_owned(), Vec::new())]).is_wrong());
    }
}
