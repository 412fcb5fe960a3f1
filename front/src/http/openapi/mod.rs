//! The description of the API (OpenAPI 3.1), made from the route table and the schemas.

mod schemas;

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Info, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr,
    Required, ResponseBuilder,
};

use super::route::{Access, Answer, BodyKind, Place, QueryKind, QueryParam, Route, Verb};
use super::routes::routes;
use crate::app::App;

const BEARER: &str = "api_key";

pub(super) async fn serve(State(app): State<App>) -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        serde_json::to_string(&document(&app.front.settings.version)).unwrap_or_default()
    });
    let mut response = text.clone().into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The document, for a version of the program.
#[must_use]
pub fn document(version: &str) -> OpenApi {
    let mut info = Info::new("Quaestor", version);
    info.description = Some(
        "Answers questions over an organisation's own documents, with a citation behind \
         every claim. Errors are problem documents (RFC 9457) with a stable `code`. An id \
         that is another's answers as one that is missing."
            .to_owned(),
    );
    let mut paths = PathsBuilder::new().build();
    for route in routes() {
        paths.add_path_operation(route.path, vec![method(route.verb)], operation(route));
    }
    let mut components = ComponentsBuilder::new().security_scheme(
        BEARER,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("An API key: `Authorization: Bearer qs_…`"))
                .build(),
        ),
    );
    for (name, schema) in schemas::all() {
        components = components.schema(name, schema);
    }
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Put => HttpMethod::Put,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> Operation {
    let tag = route.path.trim_start_matches("/api/").trim_start_matches('/');
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.operation))
        .summary(Some(route.summary))
        .tag(tag.split('/').next().unwrap_or(tag));
    if !matches!(route.access, Access::Open) {
        operation = operation
            .description(Some(format!("Needs the role {}.", route.access.roles())))
            .security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
    }
    for id in route.ids.iter().filter(|id| id.place == Place::Path) {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(id.name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(format!("The {}", route.noun)))
                .schema(Some(uuid())),
        );
    }
    for name in route.names {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(format!("The {} of the {}", name, route.noun)))
                .schema(Some(text())),
        );
    }
    for param in route.query {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(param.name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(param.about))
                .schema(Some(query_schema(param))),
        );
    }
    if route.idempotent {
        operation = operation.parameter(
            ParameterBuilder::new()
                .name("Idempotency-Key")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(
                    "The same key with the same request gives the first answer again",
                ))
                .schema(Some(text())),
        );
    }
    if let Some((media_type, schema)) = body_schema(route.body) {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        operation = operation.request_body(Some(
            RequestBodyBuilder::new()
                .content(media_type, content)
                .required(Some(Required::True))
                .build(),
        ));
    }
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    operation
        .response(route.answer.status().to_string(), success(route.answer))
        .response(
            "default",
            ResponseBuilder::new()
                .description("A problem; its `code` tells which")
                .content("application/problem+json", problem)
                .build(),
        )
        .build()
}

fn success(answer: Answer) -> utoipa::openapi::Response {
    let response = ResponseBuilder::new();
    let (about, media_type, schema) = match answer {
        Answer::Empty(101) => return response.description("The socket is open").build(),
        Answer::Empty(_) => return response.description("It is done").build(),
        Answer::Json(202, name) => ("It is accepted", "application/json", reference(name)),
        Answer::Json(_, name) => ("The answer", "application/json", reference(name)),
        Answer::List(name) => ("A part of the list", "application/json", list(name)),
        Answer::Other(_, media_type) => ("The answer", media_type, text()),
    };
    response
        .description(about)
        .content(media_type, ContentBuilder::new().schema(Some(schema)).build())
        .build()
}

fn body_schema(body: BodyKind) -> Option<(&'static str, RefOr<Schema>)> {
    match body {
        BodyKind::None => None,
        BodyKind::Json(name) => Some(("application/json", reference(name))),
        BodyKind::Multipart => Some(("multipart/form-data", reference("Upload"))),
    }
}

fn query_schema(param: &QueryParam) -> RefOr<Schema> {
    match param.kind {
        QueryKind::Id => uuid(),
        QueryKind::Text => text(),
        QueryKind::Number => RefOr::T(Schema::from(
            ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(1)),
        )),
        QueryKind::OneOf(names) => RefOr::T(Schema::from(
            ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::String))
                .enum_values(Some(names.iter().copied())),
        )),
    }
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn list(of: &str) -> RefOr<Schema> {
    let next = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("Give it as `cursor` for the next part; null at the end"));
    RefOr::T(Schema::from(
        ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(Ref::from_schema_name(of)))
            .property("next", next)
            .required("items")
            .required("next"),
    ))
}

fn uuid() -> RefOr<Schema> {
    RefOr::T(Schema::from(
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
    ))
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::from(ObjectBuilder::new().schema_type(SchemaType::new(Type::String))))
}
