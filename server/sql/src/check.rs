//! What SQL is let in: one statement, of bounded length and depth, that only reads.

use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Query, Set, Statement as SqlStatement, Value, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::SqlError;
use crate::parameters;

/// Longest SQL text in bytes.
pub const SQL_BYTES_MAX: usize = 1 << 20;
/// Stack that a thread needs to plan the deepest statement that is accepted.
pub const STACK_BYTES: usize = 16 << 20;
/// Deepest nesting of brackets, subqueries and CASE.
pub const SQL_NESTING_MAX: usize = 64;
/// Most tokens between two commas of one bracket level: what bounds chains like `a + b + c`.
pub const SQL_CHAIN_TOKENS_MAX: usize = 2048;
/// Deepest expression tree.
pub const SQL_EXPRESSION_DEPTH_MAX: usize = 512;
/// Most tables and subqueries that one statement names.
pub const SQL_RELATIONS_MAX: usize = 64;
/// Most nodes of a plan once every use of a WITH query is written out.
pub const PLAN_NODES_MAX: usize = 4096;

/// Most EXPLAIN of one statement, the columns of that name included.
const EXPLAINS_MAX: usize = 8;

/// A statement that may run.
pub(crate) enum Checked {
    /// It gives rows.
    Rows(Statement),
    /// It sets something that clients set on connecting and that changes nothing here.
    Nothing,
}

/// Reads one statement and refuses all that do not only read.
pub(crate) fn check(sql: &str) -> Result<Checked, SqlError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(SqlError::invalid(format!(
            "the SQL is too long: it has {} bytes, at most {SQL_BYTES_MAX} are allowed; put long lists in a parameter",
            sql.len()
        )));
    }
    let dialect = PostgreSqlDialect {};
    let mut tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|e| unreadable(&e.to_string()))?;
    check_chains(&tokens)?;
    check_explains(&tokens)?;
    parameters::number(&mut tokens)?;
    let verb = verb(&tokens);
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&dialect)
        .with_recursion_limit(SQL_NESTING_MAX)
        .build()?
        .parse_statements()
        .map_err(too_nested)?;
    let Some(statement) = statements.pop_front() else {
        return Err(SqlError::invalid("the SQL is empty; write a query, for example SELECT * FROM tags"));
    };
    if !statements.is_empty() {
        return Err(SqlError::invalid("the SQL has several statements; send them one by one"));
    }
    check_statement(statement, &verb)
}

fn unreadable(why: &str) -> SqlError {
    SqlError::invalid(format!("the SQL cannot be read: {why}"))
}

fn too_nested(error: DataFusionError) -> SqlError {
    let text = error.to_string();
    if text.contains("RecursionLimitExceeded") || text.contains("recursion limit exceeded") {
        return SqlError::invalid(format!(
            "the SQL is nested too deeply: at most {SQL_NESTING_MAX} levels are allowed; use WITH queries"
        ));
    }
    error.into()
}

/// The first word, for messages.
fn verb(tokens: &[TokenWithSpan]) -> String {
    let word = tokens.iter().find_map(|t| match &t.token {
        Token::Word(word) => Some(word.value.to_uppercase()),
        _ => None,
    });
    word.unwrap_or_default().chars().take(40).collect()
}

/// Chains of operators become deep trees without any bracket, and dropping a deep tree overflows
/// the stack. They are bounded before a tree exists.
fn check_chains(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut chains = vec![0_usize];
    for TokenWithSpan { token, .. } in tokens {
        match token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket => chains.push(0),
            Token::RParen | Token::RBracket => {
                chains.pop();
            }
            _ => {}
        }
        if chains.is_empty() {
            chains.push(0);
        }
        let Some(chain) = chains.last_mut() else { continue };
        *chain = if *token == Token::Comma { 0 } else { *chain + 1 };
        if *chain > SQL_CHAIN_TOKENS_MAX {
            return Err(SqlError::invalid(format!(
                "an expression of the SQL is too long: it has more than {SQL_CHAIN_TOKENS_MAX} words without a comma; write tag IN (...) instead of many OR"
            )));
        }
    }
    Ok(())
}

/// EXPLAIN may stand before EXPLAIN, and the parser follows them without a bound of its own.
fn check_explains(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let is_explain = |t: &&TokenWithSpan| matches!(&t.token, Token::Word(word) if word.keyword == Keyword::EXPLAIN);
    if tokens.iter().filter(is_explain).count() > EXPLAINS_MAX {
        return Err(SqlError::invalid(format!(
            "the SQL has too many EXPLAIN: at most {EXPLAINS_MAX} are allowed; write one"
        )));
    }
    Ok(())
}

fn check_statement(statement: Statement, verb: &str) -> Result<Checked, SqlError> {
    let mut inner = &statement;
    while let Statement::Explain(explain) = inner {
        inner = &explain.statement;
    }
    let Statement::Statement(sql) = inner else { return Err(refused(verb)) };
    check_tree(sql)?;
    match explained(sql) {
        SqlStatement::Query(_)
        | SqlStatement::ExplainTable { .. }
        | SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        | SqlStatement::ShowFunctions { .. }
        | SqlStatement::ShowVariable { .. } => Ok(Checked::Rows(statement)),
        SqlStatement::Set(set) => check_set(set).map(|()| Checked::Nothing),
        _ => Err(refused(verb)),
    }
}

/// The statement under any EXPLAIN.
fn explained(mut statement: &SqlStatement) -> &SqlStatement {
    while let SqlStatement::Explain { statement: inner, .. } = statement {
        statement = inner;
    }
    statement
}

fn refused(verb: &str) -> SqlError {
    SqlError::invalid(format!(
        "{verb} is refused: SQL only reads here; write samples with `tagus write` or `tagus import`, delete them with `tagus delete`, or use SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"
    ))
}

/// Settings that drivers send on connecting. They are accepted where the answer is the same
/// whatever their value, or where the value is the one that holds here.
fn check_set(set: &Set) -> Result<(), SqlError> {
    const HARMLESS: [&str; 9] = [
        "application_name",
        "client_min_messages",
        "extra_float_digits",
        "lock_timeout",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "search_path",
        "default_transaction_read_only",
        "row_security",
    ];
    let (name, value) = match set {
        Set::SingleAssignment { variable, values, .. } => (variable.to_string(), values.first().map(word)),
        Set::SetTimeZone { value, .. } => ("timezone".to_owned(), Some(word(value))),
        Set::SetNames { charset_name, .. } => ("client_encoding".to_owned(), Some(charset_name.value.clone())),
        other => return Err(SqlError::invalid(format!("{other} is refused: nothing can be set here"))),
    };
    let name = name.to_ascii_lowercase().replace('"', "");
    let value = value.unwrap_or_default().to_ascii_lowercase();
    let holds = match name.as_str() {
        "timezone" | "time zone" => {
            matches!(value.as_str(), "utc" | "gmt" | "z" | "+00:00" | "0" | "etc/utc" | "default")
        }
        "client_encoding" => matches!(value.as_str(), "utf8" | "utf-8" | "unicode"),
        "datestyle" => value.starts_with("iso"),
        "intervalstyle" => value == "postgres" || value == "iso_8601",
        "standard_conforming_strings" | "integer_datetimes" => matches!(value.as_str(), "on" | "true" | "1"),
        _ => HARMLESS.contains(&name.as_str()),
    };
    if holds {
        Ok(())
    } else {
        Err(SqlError::invalid(format!(
            "SET {name} is refused: it cannot be changed here; the zone of a session is UTC and its settings are the server's"
        )))
    }
}

fn word(expr: &Expr) -> String {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(name) => name.value.clone(),
        other => other.to_string(),
    }
}

/// Measures the tree that the parser made.
fn check_tree(statement: &SqlStatement) -> Result<(), SqlError> {
    let mut measure = Measure::default();
    match statement.visit(&mut measure) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Measure {
    depth: usize,
    relations: usize,
}

impl Measure {
    fn relation(&mut self) -> ControlFlow<SqlError> {
        self.relations += 1;
        if self.relations > SQL_RELATIONS_MAX {
            return ControlFlow::Break(SqlError::invalid(format!(
                "the SQL names too many tables and subqueries: at most {SQL_RELATIONS_MAX} are allowed; split it"
            )));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Measure {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<SqlError> {
        self.relation()
    }

    fn pre_visit_relation(&mut self, _relation: &ObjectName) -> ControlFlow<SqlError> {
        self.relation()
    }

    fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<SqlError> {
        self.depth += 1;
        if self.depth > SQL_EXPRESSION_DEPTH_MAX {
            return ControlFlow::Break(SqlError::invalid(format!(
                "an expression of the SQL is too deep: at most {SQL_EXPRESSION_DEPTH_MAX} levels are allowed; write tag IN (...) instead of many OR"
            )));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Counts the nodes of a plan as the optimizer will walk it. WITH queries that use each other twice
/// double the plan at each step while the text grows by a line.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut nodes = 0_usize;
    plan.apply_with_subqueries(|_| {
        nodes += 1;
        Ok(if nodes > PLAN_NODES_MAX { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if nodes > PLAN_NODES_MAX {
        return Err(SqlError::invalid(format!(
            "the query is too large: its plan has more than {PLAN_NODES_MAX} steps once WITH queries are written out; use each of them less often"
        )));
    }
    Ok(())
}
