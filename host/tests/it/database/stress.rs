//! Everybody at once, on two servers: counts, places and previews must come out right.

use std::sync::{Arc, Mutex};

use duologue::{
    Error, Result,
    db::changes,
    domain::{Caller, DeleteScope, MessageId},
    service::{EditCommand, PersonRef, Services, Via},
};
use time::OffsetDateTime;

use super::support::{TestDatabase, letter};

const TASKS: u64 = 8;
const STEPS: usize = 80;
/// How many messages the tasks meet at.
const NEWEST: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    MarkSome,
    MarkThread,
    Edit,
    DeleteForEveryone,
    DeleteForOne,
}

const MIXED: &[Step] = &[
    Step::Send,
    Step::Send,
    Step::Send,
    Step::Send,
    Step::MarkSome,
    Step::MarkThread,
    Step::Edit,
    Step::DeleteForEveryone,
    Step::DeleteForOne,
];
/// Comes last: another message would mend a preview that went wrong.
const UNSENT: &[Step] =
    &[Step::MarkSome, Step::MarkThread, Step::Edit, Step::DeleteForEveryone, Step::DeleteForOne];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_places_and_previews_are_right_after_all_that_may_happen_at_once() {
    let database = TestDatabase::create().await;
    let people = database.org("acme", ["alice", "bob", "carol"]).await;
    run_all(&database, people).await;

    for (what, wrong) in WRONG {
        let rows: Vec<(String,)> = database.rows(wrong).await;
        assert!(rows.is_empty(), "{what}: {rows:#?}");
    }
    let messages: Vec<(i64,)> = database.rows("select count(*) from messages").await;
    assert!(messages[0].0 > 100, "{messages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_beside_all_that_fails_nobody() {
    let database = TestDatabase::create().await;
    let people = database.org("acme", ["alice", "bob", "carol"]).await;
    let (db, org_id) = (database.db.clone(), people[0].org.id);
    let pruning = tokio::spawn(async move {
        loop {
            let mut tx = db.begin(org_id).await.unwrap();
            changes::prune(&mut tx.conn(), OffsetDateTime::now_utc(), 50).await.unwrap();
            tx.commit().await.unwrap();
        }
    });

    run_all(&database, people).await;

    // It would have ended with the error that it met.
    assert!(!pruning.is_finished());
    pruning.abort();
}

/// What must not be found afterwards.
const WRONG: &[(&str, &str)] = &[
    (
        "a thread's unread count is not that of its unread messages",
        "
        select state::text from thread_states as state
        where unread_count <> (
            select count(*) from messages as message
            where thread_id = state.thread_id and recipient_id = state.user_id
                and read_at is null and deleted_at is null and visible(state.user_id, message)
        )
        ",
    ),
    (
        "a badge is not the sum of its threads",
        "
        select state::text from user_states as state
        where unread_count <> (
            select sum(unread_count) from thread_states where user_id = state.user_id
        )
        ",
    ),
    (
        "a badge is not what its changes add up to",
        "
        select state::text from user_states as state
        where unread_count <> (
            select sum(
                case
                    when kind = 'message' and recipient_id = state.user_id then 1
                    when kind = 'read' and detail ->> 'by' = state.user_id::text then -1
                    when kind = 'threadRead' and detail ->> 'by' = state.user_id::text
                        then -(detail ->> 'count')::int
                    when kind = 'deleted' and (detail ->> 'wasUnread')::bool then -1
                    else 0
                end
            )
            from changes
            left join messages on messages.id = message_id
            where user_id = state.user_id
        )
        ",
    ),
    (
        "a thread's seqs have a gap",
        "
        select thread::text from threads as thread
        where array(select seq from messages where thread_id = thread.id order by seq)
            <> array(select generate_series(1, last_seq))
        ",
    ),
    (
        "somebody's positions have a gap",
        "
        select state::text from user_states as state
        where array(select position from changes where user_id = state.user_id order by position)
            <> array(select generate_series(1, position))
        ",
    ),
    (
        "a preview is not the newest message that can be shown",
        "
        select state::text from thread_states as state
        where last_message_id is distinct from (
            select id from messages as message
            where thread_id = state.thread_id and visible(state.user_id, message)
                and deleted_at is null
            order by seq desc
            limit 1
        )
        ",
    ),
    (
        "a notification of a deleted message is left, or one is missing",
        "
        select message::text from messages as message
        where (deleted_at is null) <> exists (
            select from notifications
            where user_id = message.recipient_id and id = message.id
        )
        ",
    ),
];

async fn run_all(database: &TestDatabase, people: [Caller; 3]) {
    let servers = [database.services(), database.services()];
    let sent = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..TASKS)
        .map(|seed| {
            let services = servers[usize::try_from(seed).unwrap() % 2].clone();
            let walk =
                Walk { services, people: people.clone(), sent: sent.clone(), random: Random(seed) };
            tokio::spawn(walk.run())
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

struct Walk {
    services: Services,
    people: [Caller; 3],
    /// By all tasks, with the place of the sender and of the recipient among the people.
    sent: Arc<Mutex<Vec<Sent>>>,
    random: Random,
}

#[derive(Clone, Copy)]
struct Sent {
    id: MessageId,
    from: usize,
    to: usize,
}

impl Walk {
    async fn run(mut self) {
        for done in 0..STEPS {
            let steps = if done < STEPS * 2 / 3 { MIXED } else { UNSENT };
            let step = steps[self.random.below(steps.len())];
            match Box::pin(self.take(step)).await {
                // Deleted or hidden by another task.
                Ok(()) | Err(Error::NotFound(_) | Error::Conflict(_)) => {}
                Err(error) => panic!("{step:?}: {error:?}"),
            }
        }
    }

    async fn take(&mut self, step: Step) -> Result<()> {
        let Some(Sent { id, from, to }) = self.recent() else { return self.send().await };
        let (sender, recipient) = (self.people[from].clone(), self.people[to].clone());
        let (reading, messages) = (self.services.reading.clone(), self.services.messages.clone());
        match step {
            Step::Send => self.send().await,
            Step::MarkSome => {
                let ids = (0..20).filter_map(|_| self.recent()).map(|sent| sent.id);
                reading.mark(&recipient, &ids.collect::<Vec<_>>()).await.map(drop)
            }
            Step::MarkThread => {
                let peer = PersonRef::Id(sender.user.id);
                reading.mark_thread(&recipient, &peer).await.map(drop)
            }
            Step::Edit => {
                let edit = EditCommand { content: Some("edited".into()), ..EditCommand::default() };
                messages.edit(&sender, Via::Rest, id, edit).await.map(drop)
            }
            Step::DeleteForEveryone => {
                messages.delete(&sender, id, Some(DeleteScope::Everyone)).await
            }
            Step::DeleteForOne => {
                let one = if self.random.below(2) == 0 { sender } else { recipient };
                messages.delete(&one, id, Some(DeleteScope::Me)).await
            }
        }
    }

    async fn send(&mut self) -> Result<()> {
        let from = self.random.below(3);
        let to = (from + 1 + self.random.below(2)) % 3;
        let command = letter(&self.people[to], "hello");
        let sent = self.services.sending.send(&self.people[from], Via::Rest, command).await?;
        self.sent.lock().unwrap().push(Sent { id: sent.letter.message.id, from, to });
        Ok(())
    }

    /// One of the newest messages; `None` before the first.
    fn recent(&mut self) -> Option<Sent> {
        let sent = self.sent.lock().unwrap();
        let newest = &sent[sent.len().saturating_sub(NEWEST)..];
        (!newest.is_empty()).then(|| newest[self.random.below(newest.len())])
    }
}

/// `SplitMix64`: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(end).unwrap()).unwrap()
    }
}
