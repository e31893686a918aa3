//! What the database itself shows of a service in full swing, whatever its SQL says.

use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;
use voice_saas_tests::{Database, TestApp, TestUser, caller_says, text};

/// Every table that belongs to tenants, as the catalog knows them.
async fn tenant_tables(connection: &mut PgConnection) -> Vec<String> {
    let tables = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND a.attname = 'tenant_id'
        ORDER BY 1",
    );
    let mut tables: Vec<String> = tables.fetch_all(connection).await.expect("the catalog answers");
    tables.push("tenants".to_owned());
    tables
}

/// How many rows of a table the application's role sees, this setting being the tenant; 0 too where it has no right at
/// all to look.
async fn seen(connection: &mut PgConnection, table: &str, tenant: Option<&str>) -> i64 {
    let mut begin = "BEGIN; SET LOCAL ROLE voice_saas_app".to_owned();
    if let Some(tenant) = tenant {
        begin.push_str("; SET LOCAL voice_saas.tenant = '");
        begin.push_str(tenant);
        begin.push('\'');
    }
    run(connection, begin).await;
    let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    let count = sqlx::query_scalar(count).fetch_one(&mut *connection).await;
    run(connection, "ROLLBACK".to_owned()).await;
    count.unwrap_or_else(|error| {
        let code = error
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{table}: {error}");
        0
    })
}

async fn run(connection: &mut PgConnection, sql: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.expect("the server obeys");
}

async fn count(connection: &mut PgConnection, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(sql)
        .fetch_one(connection)
        .await
        .expect("the server obeys")
}

/// Leaves something in every table.
async fn live(app: &TestApp, business: &str) -> TestUser {
    let user = app.register(business).await;
    let body = json!({ "name": "Receptionist", "provision_phone": true });
    let agent = user.post_once("/v1/agents", "one", &body).await.ok(201);
    let numbers = user.get("/v1/numbers").await.ok(200);
    let trunk = format!("/v1/numbers/{}/trunk", text(&numbers["data"][0], "id"));
    app.call(&text(&agent, "phone_number"), caller_says("hi")).await;
    let call = user.the_call().await;
    user.ended_call(&call).await;
    user.recorded(&call).await;
    user.post(&trunk, &json!({})).await.ok(201);
    let ported = format!("+1617555{:04}", 1200 + u16::from(business.as_bytes()[0]));
    user.post("/v1/numbers/ports", &crate::porting::order(&ported))
        .await
        .ok(202);
    user
}

/// The UUID inside of an id.
fn uuid(id: &str) -> String {
    let (_, hex) = id.split_once('_').expect("ids have a prefix");
    Uuid::parse_str(hex).expect("ids hold a UUID").to_string()
}

#[tokio::test]
async fn without_a_tenant_the_application_sees_no_row_of_what_tenants_have_done() {
    let Some(app) = TestApp::on(Database::Postgres).with_sip().start().await else {
        return;
    };
    let (ada, grace) = tokio::join!(live(&app, "Ada Plumbing"), live(&app, "Grace Dental"));
    let (ada, grace) = (uuid(&ada.tenant_id()), uuid(&grace.tenant_id()));
    let database = app.postgres().expect("the database is PostgreSQL's").url();
    let mut connection = PgConnection::connect(database.expose_secret())
        .await
        .expect("the database answers");
    let tables = tenant_tables(&mut connection).await;
    assert!(tables.len() >= 15, "{tables:?}");
    for table in tables {
        // Nobody here has an account of its own at the carrier; the store's own tests look at these rows.
        if table == "subaccounts" {
            continue;
        }
        let all = count(&mut connection, &table).await;
        assert!(
            all > 0,
            "{table} is empty, so that nothing is shown by seeing nothing of it"
        );
        let nobody = Uuid::nil().to_string();
        for setting in [None, Some(""), Some(nobody.as_str())] {
            assert_eq!(
                seen(&mut connection, &table, setting).await,
                0,
                "{table} {setting:?}"
            );
        }
        let each = [
            seen(&mut connection, &table, Some(&ada)).await,
            seen(&mut connection, &table, Some(&grace)).await,
        ];
        // Refresh tokens are looked up before any tenant is known, and by the system's role alone.
        let expected = if table == "refresh_tokens" { 0 } else { all };
        assert_eq!(each[0] + each[1], expected, "{table}");
        assert!(
            expected == 0 || each.iter().all(|rows| *rows > 0),
            "{table}: {each:?}"
        );
    }
    connection.close().await.expect("the connection closes");
    app.finish().await;
}
