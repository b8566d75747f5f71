//! What may run: one statement that reads.
//!
//! Two gates. Here the statement's kind is looked at, so that the refusal names it; the engine's own options
//! (`SQLOptions`) refuse a second time whatever a plan contains.

use ridealong_engine::datafusion::execution::context::SQLOptions;
use ridealong_engine::datafusion::sql::parser::{DFParser, DFParserBuilder, Statement};
use ridealong_engine::datafusion::sql::sqlparser::ast::Statement as Ast;
use ridealong_engine::datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use ridealong_engine::datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use ridealong_model::query::{QueryError, SQL_BYTES_MAX};

/// Nesting of a statement that the parser follows.
const RECURSION_MAX: usize = 64;
/// Words and signs of a statement: bounds the depth of its tree, and so the stack that planning it takes.
const WORDS_MAX: usize = 4_000;

/// The one statement of `sql`, when it reads.
pub(crate) fn reading(sql: &str) -> Result<Statement, QueryError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(QueryError::Invalid(format!("sql has {} bytes, at most {SQL_BYTES_MAX} are taken", sql.len())));
    }
    // The parser's limit on nesting does not count chains such as `a OR b OR c …`, which are as deep a tree.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| QueryError::Invalid(error.to_string()))?;
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    if words > WORDS_MAX {
        return Err(QueryError::Invalid(format!("sql has {words} words and signs, at most {WORDS_MAX} are taken")));
    }
    let mut parser: DFParser<'_> = DFParserBuilder::new(sql)
        .with_dialect(&PostgreSqlDialect {})
        .with_recursion_limit(RECURSION_MAX)
        .build()
        .map_err(|error| QueryError::Invalid(error.to_string()))?;
    let mut statements = parser.parse_statements().map_err(|error| QueryError::Invalid(error.to_string()))?;
    match (statements.pop_front(), statements.len()) {
        (None, _) => Err(QueryError::Invalid("sql holds no statement".into())),
        (Some(_), 1..) => Err(QueryError::Invalid("sql holds more than one statement; send them one by one".into())),
        (Some(statement), 0) => check(statement),
    }
}

fn check(statement: Statement) -> Result<Statement, QueryError> {
    let allowed = match &statement {
        Statement::Statement(ast) => matches!(**ast, Ast::Query(_)),
        Statement::Explain(explain) => match explain.statement.as_ref() {
            Statement::Statement(ast) => matches!(**ast, Ast::Query(_)),
            _ => false,
        },
        _ => false,
    };
    if allowed {
        return Ok(statement);
    }
    let text = statement.to_string();
    let verb = text.split_whitespace().next().unwrap_or("this").to_ascii_uppercase();
    Err(QueryError::NotARead(format!("{verb} is none")))
}

/// The engine's own gate.
pub(crate) fn options() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

#[cfg(test)]
mod tests;
