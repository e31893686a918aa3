//! Of two servers on one database, the one that works is killed, and the other finishes.

use crate::{
    crash::{Heir, Kill, crash, matrix},
    matrix::cells,
    page::Extent,
    step,
    system::Kind,
};

#[tokio::test]
async fn what_a_killed_server_was_doing_is_finished_by_the_other() {
    let steps = step::all().await.expect("every saga ends as it should");
    let cells = cells(steps, |_, step| Kill::at(step));
    let matrix = matrix(
        "Of two servers on one PostgreSQL, the one that works is killed",
        "killed",
        Extent::Part,
    );
    matrix
        .try_all(Kind::Postgres, cells, Kill::name, async |system, cell| {
            crash(system, cell, Heir::Another).await
        })
        .await;
}
