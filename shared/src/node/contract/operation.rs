//! One operation: a method at a path.

use actix_web::http::Method;
use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Required};
use utoipa::{PartialSchema, ToSchema};

use crate::node::permission::Action;
use crate::node::query::{MAX_PAGE_SIZE, names};
use crate::store::list::{Column, Columns, Kind};
use crate::wire::page::Page;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Public,
    /// With a token, as the permission matrix says of the action.
    Login(Action),
}

/// What a body is.
pub(super) struct Body {
    pub(super) kind: &'static str,
    pub(super) schema: RefOr<Schema>,
    pub(super) example: Option<Value>,
}

/// What a list without rows is.
#[derive(Clone, Copy)]
pub(super) enum Empty {
    Array,
    /// As the reference sends it.
    Null,
}

/// A named schema that others refer to.
pub(super) type Named = (String, RefOr<Schema>);

/// A method at a path.
pub struct Operation {
    /// Unique; handlers are bound to it.
    pub id: &'static str,
    /// HTTP method.
    pub method: Method,
    /// With `{parameters}`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    pub(super) tag: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    pub(super) about: &'static str,
    pub(super) query: Vec<Parameter>,
    pub(super) request: Option<Body>,
    pub(super) request_required: bool,
    pub(super) status: u16,
    pub(super) answer: Option<Body>,
    /// What it answers with 202 to who does not want to wait.
    pub(super) begun: Option<Body>,
    pub(super) refusals: Vec<u16>,
    pub(super) schemas: Vec<Named>,
}

/// Operations of one resource: what they have in common is said once.
pub(super) struct Resource(pub(super) &'static str);

impl Resource {
    pub(super) fn public(
        &self,
        id: &'static str,
        (method, path): (Method, &'static str),
        summary: &'static str,
    ) -> Operation {
        self.operation(id, method, path, Access::Public, summary)
    }

    pub(super) fn may(
        &self,
        action: Action,
        id: &'static str,
        (method, path): (Method, &'static str),
        summary: &'static str,
    ) -> Operation {
        self.operation(id, method, path, Access::Login(action), summary)
    }

    fn operation(
        &self,
        id: &'static str,
        method: Method,
        path: &'static str,
        access: Access,
        summary: &'static str,
    ) -> Operation {
        Operation {
            id,
            method,
            path,
            access,
            tag: self.0,
            summary,
            about: "",
            query: Vec::new(),
            request: None,
            request_required: true,
            status: 200,
            answer: None,
            begun: None,
            refusals: Vec::new(),
            schemas: Vec::new(),
        }
    }
}

impl Operation {
    /// What the summary cannot say.
    pub(super) fn about(mut self, text: &'static str) -> Self {
        self.about = text;
        self
    }

    /// The same at another path, with another id.
    pub(super) fn also(&self, id: &'static str, path: &'static str) -> Self {
        Self {
            id,
            path,
            method: self.method.clone(),
            access: self.access,
            tag: self.tag,
            summary: self.summary,
            about: self.about,
            query: self.query.clone(),
            request: self.request.as_ref().map(Body::copy),
            request_required: self.request_required,
            status: self.status,
            answer: self.answer.as_ref().map(Body::copy),
            begun: self.begun.as_ref().map(Body::copy),
            refusals: self.refusals.clone(),
            schemas: self.schemas.clone(),
        }
    }

    /// Takes a JSON body.
    pub(super) fn takes<T: ToSchema>(mut self, example: Value) -> Self {
        self.request = Some(Body { kind: JSON, schema: self.refer::<T>(), example: Some(example) });
        self
    }

    /// Answers 200 with JSON.
    pub(super) fn answers<T: ToSchema>(mut self) -> Self {
        self.answer = Some(Body { kind: JSON, schema: self.refer::<T>(), example: None });
        self
    }

    /// Answers 200 with a list that has no pages.
    pub(super) fn answers_list<T: ToSchema>(mut self, empty: Empty) -> Self {
        let item = self.refer::<T>();
        let list = match empty {
            Empty::Array => ArrayBuilder::new().items(item).build(),
            Empty::Null => ArrayBuilder::new()
                .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
                .items(item)
                .build(),
        };
        self.answer = Some(Body { kind: JSON, schema: Schema::Array(list).into(), example: None });
        self
    }

    /// Takes a JSON body of one kind or the other.
    pub(super) fn takes_either<T: ToSchema, U: ToSchema>(mut self, example: Value) -> Self {
        let either = AnyOfBuilder::new().item(self.refer::<T>()).item(self.refer::<U>()).build();
        self.request =
            Some(Body { kind: JSON, schema: Schema::AnyOf(either).into(), example: Some(example) });
        self
    }

    /// Takes bytes of any kind.
    pub(super) fn takes_bytes(mut self, example: &str) -> Self {
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .build();
        let kind = "application/octet-stream";
        self.request = Some(Body { kind, schema: schema.into(), example: Some(example.into()) });
        self
    }

    /// Takes a JSON body, or none.
    pub(super) fn takes_optional<T: ToSchema>(self, example: Value) -> Self {
        let mut this = self.takes::<T>(example);
        this.request_required = false;
        this
    }

    /// Answers 200 with JSON text.
    pub(super) fn answers_json_text(mut self, text: &str) -> Self {
        let schema = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
        self.answer = Some(Body { kind: JSON, schema: schema.into(), example: Some(text.into()) });
        self
    }

    /// Answers 200 with a JSON object of whatever members.
    pub(super) fn answers_object(mut self) -> Self {
        let schema = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)).build();
        self.answer = Some(Body { kind: JSON, schema: schema.into(), example: None });
        self
    }

    /// A header of the request.
    pub(super) fn header(mut self, name: &'static str, about: &str, example: &str) -> Self {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[!-~]+$"))
            .build();
        self.query.push(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(about))
                .schema(Some(text))
                .example(Some(example.into()))
                .build(),
        );
        self
    }

    /// Answers 201 with the object that was made.
    pub(super) fn creates<T: ToSchema>(mut self) -> Self {
        self.status = 201;
        self.answers::<T>()
    }

    /// Answers 202 with JSON.
    pub(super) fn accepts<T: ToSchema>(mut self) -> Self {
        self.status = 202;
        self.answers::<T>()
    }

    /// Answers 202 with JSON to who does not want to wait.
    pub(super) fn or_accepts<T: ToSchema>(mut self) -> Self {
        self.begun = Some(Body { kind: JSON, schema: self.refer::<T>(), example: None });
        self
    }

    /// Answers with text of another type than JSON.
    pub(super) fn answers_text(mut self, kind: &'static str, example: &str) -> Self {
        let schema = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
        self.answer = Some(Body { kind, schema: schema.into(), example: Some(example.into()) });
        self
    }

    /// Answers with server-sent events, as they are parsed: an object with `event` and `data` each.
    pub(super) fn answers_events(mut self, events: &[&'static str], example: &str) -> Self {
        let event = text_schema().enum_values(Some(events.iter().copied()));
        let schema = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .property("event", event)
            .property("data", text_schema())
            .required("event")
            .required("data");
        self.answer =
            Some(Body { kind: EVENT_STREAM, schema: schema.build().into(), example: Some(example.into()) });
        self
    }

    /// Statuses beyond those that follow from path, body and rights.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// A parameter `name=yes`.
    pub(super) fn flag(self, name: &'static str, about: &str) -> Self {
        let values = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(["yes", "no"]))
            .build();
        self.parameter(name, about, values.into(), None)
    }

    /// A parameter that is one of these.
    pub(super) fn one_of(self, name: &'static str, about: &str, values: &[&'static str]) -> Self {
        let values = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(values.to_vec()))
            .build();
        self.parameter(name, about, values.into(), None)
    }

    /// A parameter that is text.
    pub(super) fn text(self, name: &'static str, about: &str, example: &str) -> Self {
        let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
        self.parameter(
            name,
            about,
            text.into(),
            Some(example).filter(|text| !text.is_empty()).map(Value::from),
        )
    }

    /// A parameter that is a UUID.
    pub(super) fn id(self, name: &'static str, about: &str) -> Self {
        self.parameter(name, about, crate::wire::Id::schema(), None)
    }

    /// A parameter that is a whole number from `least`.
    pub(super) fn number(self, name: &'static str, about: &str, least: i64) -> Self {
        self.parameter(name, about, whole_number(Some(least), None), None)
    }

    /// The parameter before this must be given.
    pub(super) fn required(mut self) -> Self {
        if let Some(parameter) = self.query.last_mut() {
            parameter.required = Required::True;
        }
        self
    }

    /// What all lists have: pages, order, filter.
    pub(super) fn lists<T: ToSchema>(self, columns: &Columns) -> Self {
        let by_default = columns.by_default.column.name;
        let page_size = whole_number(Some(1), Some(MAX_PAGE_SIZE));
        let sort = one_or_more(&format!("({})(:(asc|desc))?", names_of(columns.sort).join("|")));
        let filter = one_or_more(&format!("({})", conditions(columns).join("|")));
        let mut this = self
            .parameter("page", "From 1.", whole_number(Some(1), None), None)
            .parameter("pagesize", "Rows a page, 50 if it is not said.", page_size, None)
            .parameter(
                "sort",
                &format!(
                    "Columns to order by, the most important first, divided by commas; `:desc` behind a name turns its order \
                     round. Columns: {}.",
                    names(columns.sort)
                ),
                sort,
                Some(format!("{by_default}:desc").into()),
            )
            .parameter(
                "filter",
                &format!(
                    "`column:value`, divided by commas; all of them must hold. Columns: {}.",
                    names(columns.filter)
                ),
                filter,
                None,
            )
            .text(
                "next",
                "Where a page before this one ended, as its `paging.next` said: the way through long lists. With the \
                 same `sort` and `filter` as there; not with `page`.",
                "",
            );
        if !columns.includes.is_empty() {
            let includes = columns.includes.join(", ");
            let values = text_schema().enum_values(Some(columns.includes.iter().copied())).build();
            this = this.parameter(
                "include",
                &format!("Embeds what belongs to each row: {includes}."),
                values.into(),
                None,
            );
        }
        let _item = this.refer::<T>();
        // utoipa calls every page of whatever "Page".
        let schema = this.refer_as::<Page<T>>(format!("PageOf{}", T::name()));
        this.answer = Some(Body { kind: JSON, schema, example: None });
        this
    }

    fn parameter(mut self, name: &str, about: &str, schema: RefOr<Schema>, example: Option<Value>) -> Self {
        self.query.push(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(about))
                .schema(Some(schema))
                .example(example)
                .build(),
        );
        self
    }

    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.refer_as::<T>(T::name().into_owned())
    }

    fn refer_as<T: ToSchema>(&mut self, name: String) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((name.clone(), T::schema()));
        utoipa::openapi::Ref::from_schema_name(name).into()
    }

    /// Names of the parameters in the path.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

impl Body {
    fn copy(&self) -> Self {
        Self { kind: self.kind, schema: self.schema.clone(), example: self.example.clone() }
    }
}

pub(super) const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
pub(super) const NDJSON: &str = "application/x-ndjson";

/// A whole number of 64 bits.
pub(super) fn whole_number(least: Option<i64>, most: Option<i64>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(least)
        .maximum(most)
        .build()
        .into()
}

fn text_schema() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

/// Items of a pattern, divided by commas.
fn one_or_more(item: &str) -> RefOr<Schema> {
    text_schema().pattern(Some(format!("^{item}(,{item})*$"))).build().into()
}

fn names_of(columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|column| column.name).collect()
}

/// Patterns of the conditions on a list; one that needs another stands behind it.
fn conditions(columns: &Columns) -> Vec<String> {
    let condition = |column: &Column| format!("{}{}", column.name, value_of(column.kind));
    let with_its_need = |column: &Column| {
        let needed = column.needs.and_then(|name| columns.filterable(name));
        needed.map_or_else(
            || condition(column),
            |needed| format!("{},{}", condition(&needed), condition(column)),
        )
    };
    columns.filter.iter().map(with_its_need).collect()
}

/// The pattern of a condition's value.
fn value_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Folded => ":[^,]*",
        Kind::Id => ":[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        Kind::Bool => ":(true|false)",
        Kind::Number => ":-?[0-9]{1,18}",
        Kind::Time => {
            ":2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
        }
    }
}
