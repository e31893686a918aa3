//! Jobs: how workers take them, keep them and lose them.

use futures_util::future::join_all;

use super::{
    job::{claim, enqueue, find, new_job},
    world::{Must, World, at, refused},
};
use crate::{
    id::JobId,
    job::{Job, JobState},
    store::{Store, StoreErrorKind},
};

async fn claim_due(world: &World<'_>, now: i64, limit: u16) -> Vec<Job> {
    let mut tx = world.system().await;
    let jobs = tx.job_queue().claim(at(now), at(now + 60), limit).await.must();
    tx.commit().await.must();
    jobs
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub async fn due_jobs_are_claimed_oldest_first_and_later_ones_stay(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let jobs = [30, 10, 20, 11].map(|second| new_job(&world, second));
    for job in &jobs {
        assert!(enqueue(&world, Some(&scope), job, 0).await);
    }
    assert_eq!(claim_due(&world, 9, 10).await, []);
    let claimed = claim_due(&world, 20, 2).await;
    assert_eq!(ids(&claimed), [jobs[1].id, jobs[3].id]);
    let first = &claimed[0];
    assert_eq!(
        (first.state, first.attempt, first.fence, first.lease_until),
        (JobState::Leased, 1, 1, Some(at(80)))
    );
    assert_eq!(&find(&world, first.id).await, first);
    assert_eq!(ids(&claim_due(&world, 20, 10).await), [jobs[2].id]);
    assert_eq!(claim_due(&world, 20, 10).await, []);
}

pub async fn tenants_are_served_in_turn(store: &dyn Store) {
    let world = World::new(store);
    let (busy, quiet) = (world.tenant("busy").await, world.tenant("quiet").await);
    for second in 0..6 {
        assert!(enqueue(&world, Some(&busy), &new_job(&world, second), 0).await);
    }
    let (late, own) = (new_job(&world, 7), new_job(&world, 8));
    assert!(enqueue(&world, Some(&quiet), &late, 0).await);
    assert!(enqueue(&world, None, &own, 0).await);
    let claimed = claim_due(&world, 10, 4).await;
    assert_eq!(
        claimed
            .iter()
            .filter(|job| job.tenant == Some(busy.tenant_id()))
            .count(),
        2
    );
    assert_eq!(ids(&claimed)[2..], [late.id, own.id]);
    assert_eq!(claim_due(&world, 10, 10).await.len(), 4);
}

pub async fn a_long_queue_of_one_tenant_keeps_nobody_else_waiting(store: &dyn Store) {
    let world = World::new(store);
    let (busy, quiet) = (world.tenant("busy").await, world.tenant("quiet").await);
    let mut tx = world.begin(&busy).await;
    for _ in 0..1_100 {
        assert!(tx.jobs().enqueue(&new_job(&world, 0), at(0)).await.must());
    }
    tx.commit().await.must();
    let (late, own, later) = (new_job(&world, 5), new_job(&world, 6), new_job(&world, 11));
    assert!(enqueue(&world, Some(&quiet), &late, 0).await);
    assert!(enqueue(&world, None, &own, 0).await);
    assert!(enqueue(&world, Some(&quiet), &later, 0).await);
    let claimed = claim_due(&world, 10, 5).await;
    assert_eq!((claimed.len(), &ids(&claimed)[3..]), (5, &[late.id, own.id][..]));
    assert!(
        claim_due(&world, 10, 5)
            .await
            .iter()
            .all(|job| job.tenant == Some(busy.tenant_id()))
    );
}

pub async fn workers_who_claim_at_once_share_the_jobs(store: &dyn Store) {
    let world = World::new(store);
    let scope = world.tenant("acme").await;
    let mut expected = Vec::new();
    for _ in 0..20 {
        let job = new_job(&world, 0);
        assert!(enqueue(&world, Some(&scope), &job, 0).await);
        expected.push(job.id);
    }
    let mut claimed: Vec<_> = join_all((0..4).map(|_| claim_due(&world, 1, 5)))
        .await
        .iter()
        .flat_map(|jobs| ids(jobs))
        .collect();
    claimed.extend(ids(&claim_due(&world, 1, 100).await));
    claimed.sort();
    assert_eq!(claimed, expected);
}

pub async fn one_job_can_be_claimed_before_it_is_due_and_by_one_worker(store: &dyn Store) {
    let world = World::new(store);
    let job = new_job(&world, 1_000);
    assert!(enqueue(&world, None, &job, 0).await);
    let claims = join_all((0..4).map(|_| {
        let (world, id) = (&world, job.id);
        async move {
            let mut tx = world.system().await;
            let job = tx.job_queue().claim_one(id, at(60)).await.must();
            tx.commit().await.must();
            job
        }
    }))
    .await;
    let claimed: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claimed, [find(&world, job.id).await]);
    assert_eq!(
        (claimed[0].attempt, claimed[0].fence, claimed[0].lease_until),
        (1, 1, Some(at(60)))
    );
    let unknown = JobId::generate(world.ids());
    assert_eq!(
        world
            .system()
            .await
            .job_queue()
            .claim_one(unknown, at(60))
            .await
            .must(),
        None
    );
}

/// A job that was claimed, lost and claimed again, and the fence of its first claim.
async fn claimed_twice(world: &World<'_>) -> (Job, i64) {
    let job = new_job(world, 0);
    assert!(enqueue(world, None, &job, 0).await);
    let first = claim(world, job.id).await;
    let mut tx = world.system().await;
    assert_eq!(tx.job_queue().reap(at(61)).await.must(), 1);
    tx.commit().await.must();
    let second = claim(world, job.id).await;
    assert_eq!((second.attempt, second.fence > first.fence), (2, true));
    (second, first.fence)
}

pub async fn a_job_is_finished_by_its_latest_claim_alone(store: &dyn Store) {
    let world = World::new(store);
    let (job, stale) = claimed_twice(&world).await;
    let mut tx = world.system().await;
    assert!(!tx.job_queue().finish(job.id, stale, at(1)).await.must());
    assert_eq!(tx.job_queue().job(job.id).await.must(), job);
    assert!(tx.job_queue().finish(job.id, job.fence, at(1)).await.must());
    assert_eq!(tx.job_queue().job(job.id).await.must().state, JobState::Finished);
    assert!(!tx.job_queue().finish(job.id, job.fence, at(2)).await.must());
    assert_eq!(tx.job_queue().claim_one(job.id, at(60)).await.must(), None);
}

pub async fn a_job_is_retried_by_its_latest_claim_alone(store: &dyn Store) {
    let world = World::new(store);
    let (job, stale) = claimed_twice(&world).await;
    let mut tx = world.system().await;
    assert!(!tx.job_queue().retry(job.id, stale, at(5), "late").await.must());
    assert_eq!(tx.job_queue().job(job.id).await.must(), job);
    assert!(
        tx.job_queue()
            .retry(job.id, job.fence, at(5), "busy")
            .await
            .must()
    );
    let retried = tx.job_queue().job(job.id).await.must();
    assert_eq!(
        (retried.state, retried.run_at, retried.attempt),
        (JobState::Ready, at(5), 2)
    );
    assert_eq!(
        (retried.error.as_deref(), retried.lease_until),
        (Some("busy"), None)
    );
    assert_eq!(tx.job_queue().claim(at(4), at(60), 10).await.must(), []);
    assert_eq!(
        ids(&tx.job_queue().claim(at(5), at(60), 10).await.must()),
        [job.id]
    );
}

pub async fn a_job_is_buried_by_its_latest_claim_alone(store: &dyn Store) {
    let world = World::new(store);
    let (job, stale) = claimed_twice(&world).await;
    let mut tx = world.system().await;
    assert!(!tx.job_queue().bury(job.id, stale, "late").await.must());
    assert_eq!(tx.job_queue().job(job.id).await.must(), job);
    assert!(
        tx.job_queue()
            .bury(job.id, job.fence, "no such number")
            .await
            .must()
    );
    let dead = tx.job_queue().job(job.id).await.must();
    assert_eq!(
        (dead.state, dead.error.as_deref()),
        (JobState::Dead, Some("no such number"))
    );
    assert_eq!(tx.job_queue().claim(at(1_000), at(2_000), 10).await.must(), []);
}

pub async fn a_heartbeat_keeps_a_job_from_the_reaper(store: &dyn Store) {
    let world = World::new(store);
    let (job, stale) = claimed_twice(&world).await;
    let mut tx = world.system().await;
    assert!(!tx.job_queue().heartbeat(job.id, stale, at(600)).await.must());
    assert!(tx.job_queue().heartbeat(job.id, job.fence, at(120)).await.must());
    assert_eq!(tx.job_queue().reap(at(119)).await.must(), 0);
    assert_eq!(tx.job_queue().job(job.id).await.must().lease_until, Some(at(120)));
    assert_eq!(tx.job_queue().reap(at(120)).await.must(), 1);
    assert!(!tx.job_queue().heartbeat(job.id, job.fence, at(600)).await.must());
}

pub async fn a_reaped_job_is_ready_again_and_its_worker_is_refused(store: &dyn Store) {
    let world = World::new(store);
    let new = new_job(&world, 0);
    assert!(enqueue(&world, None, &new, 0).await);
    let job = claim(&world, new.id).await;
    let mut tx = world.system().await;
    assert_eq!(tx.job_queue().reap(at(61)).await.must(), 1);
    let reaped = tx.job_queue().job(job.id).await.must();
    assert_eq!(
        (reaped.state, reaped.attempt, reaped.lease_until),
        (JobState::Ready, 1, None)
    );
    assert!(!tx.job_queue().finish(job.id, job.fence, at(62)).await.must());
    assert!(
        !tx.job_queue()
            .retry(job.id, job.fence, at(62), "late")
            .await
            .must()
    );
    assert_eq!(tx.job_queue().job(job.id).await.must(), reaped);
    assert_eq!(
        ids(&tx.job_queue().claim(at(62), at(120), 10).await.must()),
        [job.id]
    );
}

pub async fn a_job_whose_attempts_are_used_up_is_reaped_dead(store: &dyn Store) {
    let world = World::new(store);
    let new = new_job(&world, 0).with_max_attempts(2);
    assert!(enqueue(&world, None, &new, 0).await);
    for expected in [JobState::Ready, JobState::Dead] {
        claim(&world, new.id).await;
        let mut tx = world.system().await;
        assert_eq!(tx.job_queue().reap(at(61)).await.must(), 1);
        tx.commit().await.must();
        assert_eq!(find(&world, new.id).await.state, expected);
    }
    assert!(find(&world, new.id).await.error.is_some());
    assert_eq!(world.system().await.job_queue().next_due().await.must(), None);
}

pub async fn a_dead_job_can_be_revived_and_no_other(store: &dyn Store) {
    let world = World::new(store);
    let new = new_job(&world, 0).with_max_attempts(1);
    assert!(enqueue(&world, None, &new, 0).await);
    let refusal = world.system().await.job_queue().revive(new.id, at(5)).await;
    assert_eq!(refused(refusal), StoreErrorKind::NotFound);
    let job = claim(&world, new.id).await;
    let mut tx = world.system().await;
    assert!(tx.job_queue().bury(job.id, job.fence, "no").await.must());
    tx.job_queue().revive(job.id, at(5)).await.must();
    let revived = tx.job_queue().job(job.id).await.must();
    assert_eq!(
        (revived.state, revived.attempt, revived.run_at),
        (JobState::Ready, 0, at(5))
    );
    let again = tx.job_queue().claim(at(5), at(60), 10).await.must();
    assert_eq!((ids(&again), again[0].fence > job.fence), (vec![job.id], true));
}

pub async fn a_jobs_progress_is_written_by_its_latest_claim_alone_and_outlives_it(store: &dyn Store) {
    let world = World::new(store);
    let (job, stale) = claimed_twice(&world).await;
    let (vain, progress) = (serde_json::json!({ "page": 9 }), serde_json::json!({ "page": 2 }));
    let mut tx = world.system().await;
    let queue = tx.job_queue();
    assert!(!queue.save_progress(job.id, stale, &vain).await.must());
    assert_eq!(queue.job(job.id).await.must().progress, None);
    assert!(queue.save_progress(job.id, job.fence, &progress).await.must());
    assert!(queue.retry(job.id, job.fence, at(5), "busy").await.must());
    let again = queue
        .claim_one(job.id, at(60))
        .await
        .must()
        .expect("the job is ready");
    assert_eq!(again.progress, Some(progress));
}
