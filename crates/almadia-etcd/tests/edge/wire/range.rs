//! Range.

use super::*;
use pb::range_request::{SortOrder, SortTarget};
use std::sync::atomic::Ordering;

/// Keys a to e: revisions 2 to 6, then b again (7) and d again (8, 9); values fall with the key.
async fn five_keys() -> Scene {
    let mut scene = Scene::new().await;
    for (key, value) in [
        ("a", "5"),
        ("b", "4"),
        ("c", "3"),
        ("d", "2"),
        ("e", "1"),
        ("b", "4"),
        ("d", "2"),
        ("d", "2"),
    ] {
        scene.must_put(key, value).await;
    }
    scene
}

#[tokio::test]
async fn b10_1_range_an_empty_key_is_refused() {
    let mut scene = Scene::new().await;
    let expected = (
        Code::InvalidArgument,
        "etcdserver: key is not provided".to_owned(),
    );
    for range_end in ["", "\0", "b"] {
        // Reported before a revision that does not exist.
        let request = pb::RangeRequest {
            revision: 99,
            ..range_request("", range_end)
        };
        assert_eq!(refusal(scene.kv.range(request).await), expected);
    }
}

#[tokio::test]
async fn b1_1_range_ends() {
    let mut scene = five_keys().await;
    for (key, range_end, expected) in [
        ("b", "", vec!["b"]),
        ("b", "d", vec!["b", "c"]),
        ("c", "\0", vec!["c", "d", "e"]),
        ("\0", "\0", vec!["a", "b", "c", "d", "e"]),
        ("d", "b", vec![]),
        ("c", "c", vec![]),
        ("x", "", vec![]),
    ] {
        let found = scene.must_get(range_request(key, range_end)).await;
        assert_eq!(keys(&found.kvs), expected, "[{key}, {range_end})");
        assert_eq!(found.count, expected.len() as i64);
    }
}

#[tokio::test]
async fn b1_3_revisions_of_the_past_present_and_future() {
    let mut scene = five_keys().await;
    for revision in [0, -1, i64::MIN] {
        let found = scene
            .must_get(pb::RangeRequest {
                revision,
                ..get_request("b")
            })
            .await;
        assert_eq!(found.kvs, [pair("b", "4", 3, 7, 2)]);
    }
    let past = scene
        .must_get(pb::RangeRequest {
            revision: 4,
            ..range_request("a", "\0")
        })
        .await;
    assert_eq!(keys(&past.kvs), ["a", "b", "c"]);
    assert_eq!(past.kvs[1], pair("b", "4", 3, 3, 1));
    assert_eq!(
        past.header.expect("there is a header").revision,
        9,
        "the header shows the present"
    );
}

#[tokio::test]
async fn b10_2_future_and_compacted_revisions_are_out_of_range() {
    let mut scene = five_keys().await;
    let future = (
        Code::OutOfRange,
        "etcdserver: mvcc: required revision is a future revision".to_owned(),
    );
    let compacted = (
        Code::OutOfRange,
        "etcdserver: mvcc: required revision has been compacted".to_owned(),
    );
    scene
        .kv
        .compact(pb::CompactionRequest {
            revision: 5,
            physical: false,
        })
        .await
        .expect("5 is readable");
    for (serializable, count_only, range_end) in [
        (false, false, ""),
        (true, false, ""),
        (false, true, ""),
        (false, false, "A"),
    ] {
        let at = |revision| pb::RangeRequest {
            revision,
            serializable,
            count_only,
            ..range_request("b", range_end)
        };
        assert_eq!(refusal(scene.kv.range(at(10)).await), future);
        assert_eq!(refusal(scene.kv.range(at(4)).await), compacted);
        assert!(
            scene.kv.range(at(5)).await.is_ok(),
            "exactly at the compaction is readable"
        );
    }
}

#[tokio::test]
async fn b1_2_limit_more_and_count() {
    let mut scene = five_keys().await;
    for (limit, shown, more) in [
        (0, 5, false),
        (-1, 5, false),
        (4, 4, true),
        (5, 5, false),
        (6, 5, false),
    ] {
        let found = scene
            .must_get(pb::RangeRequest {
                limit,
                ..range_request("a", "\0")
            })
            .await;
        assert_eq!(
            (found.kvs.len(), found.more, found.count),
            (shown, more, 5),
            "limit {limit}"
        );
    }
}

#[tokio::test]
async fn b1_6_count_only_shows_the_count_and_nothing_else() {
    let mut scene = five_keys().await;
    let request = pb::RangeRequest {
        count_only: true,
        limit: 2,
        ..range_request("b", "\0")
    };
    let found = scene.must_get(request).await;
    assert_eq!((found.kvs.len(), found.more, found.count), (0, false, 4));
}

#[tokio::test]
async fn b1_6_keys_only_shows_everything_but_the_value() {
    let mut scene = five_keys().await;
    let found = scene
        .must_get(pb::RangeRequest {
            keys_only: true,
            ..get_request("b")
        })
        .await;
    assert_eq!(found.kvs, [pair("b", "", 3, 7, 2)]);
}

#[tokio::test]
async fn b1_7_filters_are_inclusive_and_leave_the_count_alone() {
    let mut scene = five_keys().await;
    let all = || range_request("a", "\0");
    for (request, expected) in [
        (
            pb::RangeRequest {
                min_mod_revision: 6,
                ..all()
            },
            vec!["b", "d", "e"],
        ),
        (
            pb::RangeRequest {
                max_mod_revision: 6,
                ..all()
            },
            vec!["a", "c", "e"],
        ),
        (
            pb::RangeRequest {
                min_create_revision: 4,
                ..all()
            },
            vec!["c", "d", "e"],
        ),
        (
            pb::RangeRequest {
                max_create_revision: 4,
                ..all()
            },
            vec!["a", "b", "c"],
        ),
        (
            pb::RangeRequest {
                max_mod_revision: -1,
                ..all()
            },
            vec![],
        ),
        (
            pb::RangeRequest {
                min_mod_revision: -1,
                ..all()
            },
            vec!["a", "b", "c", "d", "e"],
        ),
    ] {
        let found = scene.must_get(request).await;
        assert_eq!(
            (keys(&found.kvs), found.count, found.more),
            (expected.iter().map(|key| (*key).to_owned()).collect(), 5, false)
        );
    }
}

#[tokio::test]
async fn b1_7_the_limit_cuts_after_filtering() {
    let mut scene = five_keys().await;
    let all = || range_request("a", "\0");
    let request = pb::RangeRequest {
        min_mod_revision: 6,
        limit: 2,
        ..all()
    };
    let found = scene.must_get(request).await;
    assert_eq!(
        (keys(&found.kvs).len(), found.more),
        (2, true),
        "the limit cuts after filtering"
    );
    let request = pb::RangeRequest {
        min_mod_revision: 8,
        limit: 1,
        ..all()
    };
    assert!(
        !scene.must_get(request).await.more,
        "one is left after filtering, so nothing is cut"
    );
}

#[tokio::test]
async fn b1_4_orders() {
    let mut scene = five_keys().await;
    for (target, order, expected) in [
        (SortTarget::Key, SortOrder::None, "abcde"),
        (SortTarget::Key, SortOrder::Ascend, "abcde"),
        (SortTarget::Key, SortOrder::Descend, "edcba"),
        (SortTarget::Mod, SortOrder::None, "acebd"),
        (SortTarget::Mod, SortOrder::Ascend, "acebd"),
        (SortTarget::Mod, SortOrder::Descend, "dbeca"),
        (SortTarget::Create, SortOrder::Descend, "edcba"),
        (SortTarget::Value, SortOrder::Ascend, "edcba"),
        (SortTarget::Version, SortOrder::Ascend, "acebd"),
    ] {
        let request = pb::RangeRequest {
            sort_order: order as i32,
            sort_target: target as i32,
            ..range_request("a", "\0")
        };
        assert_eq!(
            keys(&scene.must_get(request).await.kvs).concat(),
            expected,
            "{target:?} {order:?}"
        );
    }
    let request = pb::RangeRequest {
        sort_order: SortOrder::Descend as i32,
        limit: 2,
        ..range_request("a", "\0")
    };
    let found = scene.must_get(request).await;
    assert_eq!(
        (keys(&found.kvs).concat().as_str(), found.more, found.count),
        ("ed", true, 5),
        "cut after sorting"
    );
}

#[tokio::test]
async fn b1_4_an_unknown_order_is_none_and_an_unknown_target_is_refused() {
    let mut scene = five_keys().await;
    for sort_order in [3, 7, 9, -1] {
        let request = pb::RangeRequest {
            sort_order,
            ..range_request("a", "\0")
        };
        assert_eq!(keys(&scene.must_get(request).await.kvs).concat(), "abcde");
    }
    let expected = (
        Code::InvalidArgument,
        "etcdserver: invalid sort option".to_owned(),
    );
    for (sort_target, sort_order) in [(5, 0), (5, 1), (-1, 0), (i32::MAX, 2)] {
        let request = pb::RangeRequest {
            sort_order,
            sort_target,
            ..range_request("a", "\0")
        };
        assert_eq!(refusal(scene.kv.range(request.clone()).await), expected);
        let in_txn = scene.kv.txn(txn_request(vec![range_op(request)], vec![])).await;
        assert_eq!(refusal(in_txn), expected);
    }
}

#[tokio::test]
async fn b1_5_only_linearizable_reads_ask_for_a_barrier() {
    let mut scene = five_keys().await;
    let before = scene.double.barriers.load(Ordering::Relaxed);
    scene
        .must_get(pb::RangeRequest {
            serializable: true,
            ..get_request("a")
        })
        .await;
    assert_eq!(scene.double.barriers.load(Ordering::Relaxed), before);
    scene.must_get(get_request("a")).await;
    assert_eq!(scene.double.barriers.load(Ordering::Relaxed), before + 1);
}

#[tokio::test]
async fn b0_2_pages_of_a_list_fit_together() {
    let mut scene = Scene::new().await;
    for number in 0..25 {
        scene.must_put(&format!("/pods/{number:03}"), "v").await;
    }
    let (mut start, mut revision, mut seen) = ("/pods/".to_owned(), 0, Vec::new());
    loop {
        let request = pb::RangeRequest {
            limit: 10,
            revision,
            ..range_request(&start, "/pods0")
        };
        let page = scene.must_get(request).await;
        assert_eq!(
            page.count as usize,
            25 - seen.len(),
            "the count is that of the rest, limit or not"
        );
        if revision == 0 {
            revision = page.header.expect("there is a header").revision;
        }
        seen.extend(keys(&page.kvs));
        if !page.more {
            break;
        }
        start = format!("{}\0", seen.last().expect("a page with more has keys"));
        scene.must_put("/pods/0005", "written between pages").await;
    }
    assert_eq!((seen.len(), revision), (25, 26), "{seen:?}");
}

#[tokio::test]
async fn b0_1_a_missing_key_is_an_empty_answer_with_a_header() {
    let mut scene = five_keys().await;
    let found = scene
        .must_get(pb::RangeRequest {
            limit: 1,
            ..get_request("none")
        })
        .await;
    let header = found.header.expect("there is a header");
    assert_eq!((found.kvs.len(), found.count, header.revision), (0, 0, 9));
    assert_eq!(header.cluster_id, crate::double::CLUSTER.get());
    assert_eq!(header.member_id, crate::double::MEMBER.get());
    assert_eq!(header.raft_term, crate::double::TERM.get());
}
