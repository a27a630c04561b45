//! Client ids that are stored already. The batch takes none for stored, because hardly any is: the
//! index finds it out, and then the batch is stored without them.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::{NewMessage, Placed, insert_fresh};
use crate::{
    db::{DbError, connections::Taken, violates},
    domain::{MessageId, OrgId, UserId},
};

/// Stores what is left of a batch without the client ids that are stored by now.
pub(super) async fn insert_unrepeated(
    conn: &mut Taken,
    batch: &[NewMessage],
    mut error: DbError,
) -> Result<Vec<Option<Placed>>, DbError> {
    let mut fresh: Vec<(usize, NewMessage)> = batch.iter().cloned().enumerate().collect();
    let mut placed = vec![None; batch.len()];
    loop {
        let repeated = list_repeated(conn, fresh.iter().map(|(_, row)| row)).await?;
        if repeated.is_empty() {
            return Err(error);
        }
        fresh.retain(|(_, row)| !repeated.contains(&row.id));
        if fresh.is_empty() {
            return Ok(placed);
        }
        let (indexes, rows): (Vec<usize>, Vec<NewMessage>) = fresh.iter().cloned().unzip();
        match insert_fresh(conn, &rows).await {
            // Another server has stored one of them meanwhile.
            Err(again) if is_repeated(&again) => error = again,
            stored => {
                for (index, stored) in indexes.into_iter().zip(stored?) {
                    placed[index] = Some(stored);
                }
                return Ok(placed);
            }
        }
    }
}

pub(super) fn is_repeated(error: &DbError) -> bool {
    violates(error, "messages_client_id_key")
}

/// Those of the drafts whose sender has stored that client id.
async fn list_repeated(
    conn: &mut PgConnection,
    batch: impl Iterator<Item = &NewMessage>,
) -> Result<HashSet<MessageId>, DbError> {
    let (mut org_ids, mut ids, mut sender_ids, mut client_ids) = (vec![], vec![], vec![], vec![]);
    for NewMessage { org_id, id, draft, .. } in batch {
        let Some(client_id) = &draft.client_id else { continue };
        org_ids.push(*org_id);
        ids.push(*id);
        sender_ids.push(draft.sender_id);
        client_ids.push(client_id.as_str());
    }
    let repeated = sqlx::query_scalar!(
        r#"
        select draft.id as "id!: MessageId"
        from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[])
            as draft (org_id, id, sender_id, client_id)
        where exists (
            select
            from messages as sent
            where sent.org_id = draft.org_id
                and sent.sender_id = draft.sender_id
                and sent.client_id = draft.client_id
        )
        "#,
        &org_ids as &[OrgId],
        &ids as &[MessageId],
        &sender_ids as &[UserId],
        &client_ids as &[&str],
    )
    .fetch_all(conn)
    .await?;
    Ok(repeated.into_iter().collect())
}
