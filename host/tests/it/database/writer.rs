//! What a row that Postgres refuses does to those stored with it.

use duologue::service::{Prepared, Via};

use super::support::{TestDatabase, letter};

#[tokio::test]
async fn a_row_that_cannot_be_stored_fails_alone_and_keeps_the_order_of_its_neighbours() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    let sending = database.services().sending.clone();
    sqlx::raw_sql("alter table messages add constraint refused check (content <> 'bad')")
        .execute(&database.raw)
        .await
        .unwrap();
    sending.send(&alice, Via::Rest, letter(&bob, "first")).await.unwrap();

    // One message keeps the writer busy, so that the next ones wait for one batch.
    let mut lock = database.raw.begin().await.unwrap();
    sqlx::raw_sql("select from threads for update").execute(&mut *lock).await.unwrap();
    let mut queued: Vec<Prepared> = Vec::new();
    let prepare = async |content| sending.prepare(&alice, Via::Rest, letter(&bob, content)).await;
    queued.push(prepare("second").await.unwrap());
    database.blocked(1).await;
    for content in ["third", "bad", "fourth", "fifth"] {
        queued.push(prepare(content).await.unwrap());
    }
    lock.rollback().await.unwrap();

    let mut answers = Vec::new();
    for prepared in queued {
        let answer = sending.finish(prepared).await;
        answers.push(answer.map(|sent| sent.letter.message.seq).map_err(|error| error.code()));
    }
    let stored: Vec<(String,)> =
        database.rows("select content from messages order by seq, id").await;
    assert_eq!(answers, [Ok(Some(2)), Ok(Some(3)), Err("internal"), Ok(Some(4)), Ok(Some(5))]);
    let stored: Vec<&str> = stored.iter().map(|(content,)| content.as_str()).collect();
    assert_eq!(stored, ["first", "second", "third", "fourth", "fifth"]);
}
