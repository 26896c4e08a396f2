//! Live current values through the real server.

use std::collections::BTreeMap;

use tagus_proto::v1;
use tagus_proto::v1::admin_client::AdminClient;
use tagus_proto::v1::current_value::Value;
use tagus_proto::v1::query_client::QueryClient;
use tonic::{Code, Status, Streaming};

use crate::support::{PATIENCE, START, Server, series};

struct Live {
    answers: Streaming<v1::SubscribeResponse>,
    /// What is known of each tag: its value, and how many changes were skipped so far.
    values: BTreeMap<String, (Option<f64>, u64)>,
}

impl Live {
    async fn open(server: &Server, tags: &[&str]) -> Result<Live, Status> {
        let mut client = QueryClient::new(server.channel().await);
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let answers = client.subscribe(v1::SubscribeRequest { tags }).await?.into_inner();
        Ok(Live { answers, values: BTreeMap::new() })
    }

    /// Takes what comes until a tag has this value.
    async fn until(&mut self, tag: &str, value: Option<f64>) {
        while self.values.get(tag).is_none_or(|known| known.0 != value) {
            let answer = tokio::time::timeout(PATIENCE, self.answers.message()).await.expect("a change").unwrap();
            for change in answer.expect("the stream goes on").changes {
                let current = change.value.unwrap();
                let number = current.value.map(|value| match value {
                    Value::Number(number) => number,
                    Value::Integer(integer) => integer as f64,
                });
                let known = self.values.entry(current.name).or_default();
                *known = (number, known.1 + change.skipped);
            }
        }
    }
}

#[tokio::test]
async fn changes_of_chosen_tags_come_after_their_current_values() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    stream.write(1, vec![series("a.x", 0, &[1.0]), series("b", 0, &[2.0]), series("c", 0, &[3.0])]).await;
    let mut live = Live::open(&server, &["A.*", "b"]).await.unwrap();
    live.until("a.x", Some(1.0)).await;
    live.until("b", Some(2.0)).await;
    stream.write(2, vec![series("c", 1, &[4.0]), series("a.x", 1, &[5.0])]).await;
    live.until("a.x", Some(5.0)).await;
    // A tag that is created later, and matches; late data, which changes nothing.
    stream.write(3, vec![series("a.new", 0, &[6.0]), series("d", 0, &[7.0]), series("b", -10, &[8.0])]).await;
    live.until("a.new", Some(6.0)).await;
    assert_eq!(live.values.keys().collect::<Vec<_>>(), ["a.new", "a.x", "b"]);
    assert_eq!(live.values["b"].0, Some(2.0));
    // What is deleted is current no more.
    let mut admin = AdminClient::new(server.channel().await);
    let delete = v1::DeleteRequest { tags: "a.x".into(), from: START + 1, to: i64::MAX };
    admin.delete(delete).await.unwrap();
    live.until("a.x", Some(1.0)).await;
    admin.delete(v1::DeleteRequest { tags: "b".into(), from: i64::MIN, to: i64::MAX }).await.unwrap();
    live.until("b", None).await;
    assert!(server.stop().await.success(), "a stop does not wait for readers");
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_and_learns_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut stream = server.open("gateway", 1).await;
    let mut live = Live::open(&server, &["*"]).await.unwrap();
    // Two tags of 20 changes a batch; nothing is read meanwhile.
    for batch in 0..200_u32 {
        let values: Vec<f64> = (0..20).map(|i| f64::from(batch * 20 + i)).collect();
        let blocks = ["a", "b"].map(|tag| series(tag, i64::from(batch) * 20, &values)).to_vec();
        stream.write(u64::from(batch) + 1, blocks).await;
    }
    live.until("a", Some(3999.0)).await;
    live.until("b", Some(3999.0)).await;
    let skipped = live.values["a"].1;
    assert!(skipped > 3000 && skipped < 4000, "{skipped} changes were skipped");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn subscriptions_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.open("gateway", 1).await.write(1, vec![series("level", 0, &[1.0])]).await;
    let refused = Live::open(&server, &["levle"]).await.err().unwrap();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("did you mean 'level'?"), "{refused}");
    let long = "x".repeat(2000);
    assert_eq!(Live::open(&server, &[&long]).await.err().unwrap().code(), Code::InvalidArgument);
    let many = vec!["level"; 10_001];
    assert_eq!(Live::open(&server, &many).await.err().unwrap().code(), Code::InvalidArgument);
}
