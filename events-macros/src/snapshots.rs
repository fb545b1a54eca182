//! What the macros write, one case an attribute, and of each only the part that the attribute is about.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::{Expr, ImplItem, ImplItemFn, Item, ItemImpl, Stmt};

/// The items that the derive writes for a model with this attribute and these fields.
fn derive(attribute: &str, fields: &str) -> Vec<Item> {
    items(crate::tracked::derive(parse(&format!(
        "#[sea_orm(table_name = \"campaigns\")] #[tracked({attribute})]
        pub struct Model {{ #[sea_orm(primary_key)] pub id: i32, pub team_id: i32, {fields} }}"
    ))))
}

/// The items that `#[tracked_behavior]` writes.
fn tracked_behavior(arguments: &str, hooks: &str) -> Vec<Item> {
    let item = format!("impl ActiveModelBehavior for ActiveModel {{ {hooks} }}");
    items(crate::behavior::expand(parse(arguments), parse(&item)))
}

/// What `#[event_consumer]` writes beside this item.
fn event_consumer(arguments: &str, item: &str) -> Vec<Item> {
    let mut items = items(crate::consumer::expand(parse(arguments), parse(item)));
    items.remove(0);
    items
}

/// What `#[event_consumer]` submits.
fn submitted(arguments: &str, item: &str) -> String {
    let items = event_consumer(arguments, item);
    let [Item::Const(item)] = &*items else { panic!("{}", text(&items)) };
    let Expr::Block(block) = &*item.expr else { panic!("{}", text(&items)) };
    let [Stmt::Item(Item::Macro(syn::ItemMacro { mac, .. })) | Stmt::Macro(syn::StmtMacro { mac, .. })] =
        &*block.block.stmts
    else {
        panic!("{}", text(&items))
    };
    let submitted: Expr = mac.parse_body().unwrap();
    text(&[syn::parse_quote!(fn submitted() { #submitted })])
}

fn parse(text: &str) -> TokenStream {
    text.parse().unwrap()
}

fn items(output: TokenStream) -> Vec<Item> {
    syn::parse2::<syn::File>(output).unwrap().items
}

/// All impls, those inside `const _: () = { .. };` too.
fn impls(items: Vec<Item>) -> Vec<ItemImpl> {
    let mut impls = Vec::new();
    for item in items {
        match item {
            Item::Impl(item) => impls.push(item),
            Item::Const(item) => {
                let Expr::Block(block) = *item.expr else { continue };
                impls.extend(block.block.stmts.into_iter().filter_map(|statement| match statement {
                    Stmt::Item(Item::Impl(item)) => Some(item),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    impls
}

/// The function of this name, wherever it stands.
fn function(name: &str, items: &[Item]) -> ImplItemFn {
    let members = impls(items.to_vec()).into_iter().flat_map(|item| item.items);
    let mut functions = members.filter_map(|item| match item {
        ImplItem::Fn(function) if function.sig.ident == name => Some(function),
        _ => None,
    });
    functions.next().unwrap()
}

/// All of it.
fn whole(name: &str, items: &[Item]) -> String {
    let function = function(name, items);
    text(&[syn::parse_quote!(impl Output { #function })])
}

/// What it does, without its signature.
fn body(name: &str, items: &[Item]) -> String {
    let (ident, block) = (format_ident!("{name}"), function(name, items).block);
    text(&[syn::parse_quote!(fn #ident() #block)])
}

/// The recorded fields of the definition.
fn recorded(items: &[Item]) -> String {
    let fields = vec_in(function("definition", items).block.to_token_stream()).unwrap();
    text(&[syn::parse_quote!(fn recorded() { let fields = [#fields]; })])
}

/// What stands in the first `vec![..]`.
fn vec_in(tokens: TokenStream) -> Option<TokenStream> {
    let mut before = String::new();
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            if before.ends_with("vec!") {
                return Some(group.stream());
            }
            if let Some(found) = vec_in(group.stream()) {
                return Some(found);
            }
        }
        before.push_str(&token.to_string());
    }
    None
}

/// Everything but the functions.
fn outline(items: &[Item]) -> String {
    let impls = impls(items.to_vec()).into_iter().map(|mut item| {
        item.items.clear();
        Item::Impl(item)
    });
    let others = items.iter().filter(|item| match item {
        Item::Impl(_) => false,
        Item::Const(item) => !matches!(*item.expr, Expr::Block(_)),
        _ => true,
    });
    text(&impls.chain(others.cloned()).collect::<Vec<_>>())
}

fn text(items: &[Item]) -> String {
    prettyplease::unparse(&syn::parse_quote!(#(#items)*))
}

const TEAM: &str = "team = \"team_id\"";

#[test]
fn the_whole() {
    let items = derive(TEAM, "#[track] pub name: String");
    insta::assert_snapshot!(outline(&items), @"
    #[automatically_derived]
    impl ::events_sea_orm::Tracked for Model {}
    #[automatically_derived]
    impl ::core::convert::From<&Model> for ::events_sea_orm::Subject {}
    #[automatically_derived]
    impl ::events_sea_orm::sea_orm::ActiveModelBehavior for ActiveModel {}
    ");
    insta::assert_snapshot!(whole("definition", &items), @r#"
    impl Output {
        fn definition() -> &'static ::events_sea_orm::Definition {
            static DEFINITION: ::std::sync::LazyLock<::events_sea_orm::Definition> = ::std::sync::LazyLock::new(||
            {
                ::events_sea_orm::Definition::new::<
                    Entity,
                >(
                    "campaigns",
                    ::events_sea_orm::TeamSource::Column(
                        ::events_sea_orm::__private::column_name(&Column::TeamId),
                    ),
                    ::std::vec![
                        ::events_sea_orm::Field::new(::events_sea_orm::__private::column_name(&
                        Column::Name))
                    ],
                )
            });
            &DEFINITION
        }
    }
    "#);
    insta::assert_snapshot!(whole("before_save", &items), @"
    impl Output {
        fn before_save<'life0, 'async_trait, C>(
            self,
            db: &'life0 C,
            insert: bool,
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = ::core::result::Result<Self, ::events_sea_orm::sea_orm::DbErr>,
                > + ::core::marker::Send + 'async_trait,
            >,
        >
        where
            C: ::events_sea_orm::sea_orm::ConnectionTrait + 'async_trait,
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            ::events_sea_orm::__private::before_save(self, db, insert)
        }
    }
    ");
}

#[test]
fn hooks_of_one_line() {
    let items = derive(TEAM, "#[track] pub name: String");
    for hook in ["before_save", "after_save", "before_delete", "after_delete"] {
        assert_eq!(function(hook, &items).block.stmts.len(), 1, "{hook}");
    }
    insta::assert_snapshot!(body("after_save", &items), @"
    fn after_save() {
        ::events_sea_orm::__private::after_save(model, db, insert)
    }
    ");
    insta::assert_snapshot!(body("before_delete", &items), @"
    fn before_delete() {
        ::events_sea_orm::__private::before_delete(self, db)
    }
    ");
    insta::assert_snapshot!(body("after_delete", &items), @"
    fn after_delete() {
        ::events_sea_orm::__private::after_delete(self, db)
    }
    ");
}

#[test]
fn state() {
    insta::assert_snapshot!(recorded(&derive(TEAM, "#[track(state)] pub status: Status")), @"
    fn recorded() {
        let fields = [
            ::events_sea_orm::Field::new(
                    ::events_sea_orm::__private::column_name(&Column::Status),
                )
                .state(),
        ];
    }
    ");
}

#[test]
fn redact() {
    insta::assert_snapshot!(recorded(&derive(TEAM, "#[track(redact)] pub api_key: String")), @"
    fn recorded() {
        let fields = [
            ::events_sea_orm::Field::new(
                    ::events_sea_orm::__private::column_name(&Column::ApiKey),
                )
                .redacted(),
        ];
    }
    ");
}

#[test]
fn rename() {
    insta::assert_snapshot!(recorded(&derive(TEAM, "#[track(rename = \"title\")] pub r#type: String")), @r#"
    fn recorded() {
        let fields = [
            ::events_sea_orm::Field::new(
                    ::events_sea_orm::__private::column_name(&Column::Type),
                )
                .renamed("title"),
        ];
    }
    "#);
}

#[test]
fn with() {
    insta::assert_snapshot!(recorded(&derive(TEAM, "#[track(with = text::length)] pub text: String")), @"
    fn recorded() {
        let fields = [
            ::events_sea_orm::Field::new(
                    ::events_sea_orm::__private::column_name(&Column::Text),
                )
                .with(|row, column| ::core::result::Result::Ok(
                    __with_text(&::events_sea_orm::__private::field::<String>(row, column)?),
                )),
        ];
    }
    ");
}

#[test]
fn skip_under_all() {
    let items = derive(&format!("{TEAM}, all"), "pub name: String, #[track(skip)] pub notes: String");
    insta::assert_snapshot!(recorded(&items), @"
    fn recorded() {
        let fields = [
            ::events_sea_orm::Field::new(
                ::events_sea_orm::__private::column_name(&Column::Name),
            ),
        ];
    }
    ");
}

#[test]
fn transitions() {
    let items = derive(TEAM, "#[track(state, transitions(A => [B, C]), enforce)] pub s: Option<Status>");
    insta::assert_snapshot!(recorded(&items), @"
    fn recorded() {
        let fields = [
            ::events_sea_orm::Field::new(
                    ::events_sea_orm::__private::column_name(&Column::S),
                )
                .state()
                .transitions(
                    ::std::vec![
                        (::events_sea_orm::__private::state_value(< Status > ::A),
                        ::std::vec![::events_sea_orm::__private::state_value(< Status > ::B),
                        ::events_sea_orm::__private::state_value(< Status > ::C)])
                    ],
                )
                .enforced(),
        ];
    }
    ");
}

#[test]
fn soft_delete() {
    let items = derive(
        &format!("{TEAM}, soft_delete = \"gone\""),
        "#[track] pub a: i32, pub gone: Option<DateTimeUtc>",
    );
    let is_mark = |item: &ItemImpl| text(&[Item::Impl(item.clone())]).contains("SoftDelete for");
    let item = impls(items.clone()).into_iter().find(is_mark).unwrap();
    insta::assert_snapshot!(text(&[Item::Impl(item)]), @"
    #[automatically_derived]
    impl ::events_sea_orm::SoftDelete for Model {
        type Mark = Option<DateTimeUtc>;
        fn soft_delete_column() -> Column {
            Column::Gone
        }
        fn deleted_mark(&self) -> &Option<DateTimeUtc> {
            &self.gone
        }
    }
    ");
    assert!(body("definition", &items).contains(".soft_deleted_by("));
}

#[test]
fn team_from_the_context() {
    let items = derive("team = context, object_type = \"campaign\"", "#[track] pub name: String");
    insta::assert_snapshot!(body("definition", &items), @r#"
    fn definition() {
        static DEFINITION: ::std::sync::LazyLock<::events_sea_orm::Definition> = ::std::sync::LazyLock::new(||
        {
            ::events_sea_orm::Definition::new::<
                Entity,
            >(
                "campaign",
                ::events_sea_orm::TeamSource::Context,
                ::std::vec![
                    ::events_sea_orm::Field::new(::events_sea_orm::__private::column_name(&
                    Column::Name))
                ],
            )
        });
        &DEFINITION
    }
    "#);
}

#[test]
fn custom_behavior() {
    let items = derive(&format!("{TEAM}, behavior = \"custom\""), "#[track] pub name: String");
    insta::assert_snapshot!(outline(&items), @"
    #[automatically_derived]
    impl ::events_sea_orm::Tracked for Model {}
    #[automatically_derived]
    impl ::core::convert::From<&Model> for ::events_sea_orm::Subject {}
    #[automatically_derived]
    impl ::events_sea_orm::__private::CustomBehavior for ActiveModel {}
    const _: () = <ActiveModel as ::events_sea_orm::__private::TrackedBehavior>::RECORDS;
    ");
}

const HOOKS: &str = "fn new() -> Self { Self::of(1) }
    async fn before_save<C: ConnectionTrait>(self, db: &C, insert: bool) -> Result<Self, DbErr> { Ok(self) }
    async fn after_delete<C: ConnectionTrait>(self, db: &C) -> Result<Self, DbErr> { Ok(self) }";

#[test]
fn hooks_of_the_users_own() {
    let items = tracked_behavior("", HOOKS);
    insta::assert_snapshot!(outline(&items), @"
    #[allow(clippy::unused_async)]
    impl ActiveModel {}
    #[automatically_derived]
    impl ::events_sea_orm::sea_orm::ActiveModelBehavior for ActiveModel {}
    #[automatically_derived]
    impl ::events_sea_orm::__private::TrackedBehavior for ActiveModel {}
    const _: () = <ActiveModel as ::events_sea_orm::__private::CustomBehavior>::SAID;
    ");
    insta::assert_snapshot!(whole("__tracked_before_save", &items), @"
    impl Output {
        async fn __tracked_before_save<C: ConnectionTrait>(
            self,
            db: &C,
            insert: bool,
        ) -> Result<Self, DbErr> {
            Ok(self)
        }
    }
    ");
    insta::assert_snapshot!(whole("new", &items), @"
    impl Output {
        fn new() -> Self {
            Self::__tracked_new()
        }
    }
    ");
    insta::assert_snapshot!(body("before_save", &items), @"
    fn before_save() {
        ::std::boxed::Box::pin(async move {
            let aside = ::events_sea_orm::__private::set_options_aside();
            let result: ::core::result::Result<Self, ::events_sea_orm::sea_orm::DbErr> = Self::__tracked_before_save(
                    self,
                    db,
                    insert,
                )
                .await;
            ::core::mem::drop(aside);
            ::events_sea_orm::__private::before_save(result?, db, insert).await
        })
    }
    ");
    insta::assert_snapshot!(body("after_delete", &items), @"
    fn after_delete() {
        ::std::boxed::Box::pin(async move {
            let active = ::events_sea_orm::__private::after_delete(self, db).await?;
            let result: ::core::result::Result<Self, ::events_sea_orm::sea_orm::DbErr> = Self::__tracked_after_delete(
                    active,
                    db,
                )
                .await;
            ::events_sea_orm::__private::after_hook(db, result)
        })
    }
    ");
    insta::assert_snapshot!(body("before_delete", &items), @"
    fn before_delete() {
        ::events_sea_orm::__private::before_delete(self, db)
    }
    ");
}

const CONSUMER: &str = "async fn tell(txn: &EventTransaction, event: &Event) -> Result<(), ConsumerError> {}";

#[test]
fn consumer() {
    insta::assert_snapshot!(text(&event_consumer("", CONSUMER)), @r#"
    const _: () = {
        ::events_sea_orm::__private::inventory::submit! {
            ::events_sea_orm::__private::RegisteredConsumer(|| {
            ::events_sea_orm::Subscription::in_transaction(tell).named("tell") })
        }
    };
    "#);
    insta::assert_snapshot!(submitted("", CONSUMER), @r#"
    fn submitted() {
        ::events_sea_orm::__private::RegisteredConsumer(|| {
            ::events_sea_orm::Subscription::in_transaction(tell).named("tell")
        })
    }
    "#);
}

#[test]
fn consumer_with_every_option() {
    let arguments = "on(Created, custom(\"launched\"), Deleted), object(campaign::Entity, brand::Entity), \
        delivery = \"in_transaction\", name = \"told\", order = -10, on_error = \"log\", time_budget_ms = 250";
    insta::assert_snapshot!(submitted(arguments, CONSUMER), @r#"
    fn submitted() {
        ::events_sea_orm::__private::RegisteredConsumer(|| {
            ::events_sea_orm::Subscription::in_transaction(tell)
                .named("told")
                .on([
                    ::events_sea_orm::EventType::Created,
                    ::events_sea_orm::EventType::Deleted,
                ])
                .on_custom("launched")
                .object::<campaign::Entity>()
                .object::<brand::Entity>()
                .order(-10)
                .on_error(::events_sea_orm::OnError::Log)
                .time_budget(::core::time::Duration::from_millis(250))
        })
    }
    "#);
}

#[test]
fn consumer_after_the_commit() {
    let item = "impl Consumer<EventConnection> for told::Tell {}";
    insta::assert_snapshot!(submitted("delivery = \"after_commit\", object = campaign::Entity", item), @r#"
    fn submitted() {
        ::events_sea_orm::__private::RegisteredConsumer(|| {
            ::events_sea_orm::Subscription::after_commit(told::Tell {})
                .named("Tell")
                .object::<campaign::Entity>()
        })
    }
    "#);
}

#[test]
fn consumer_of_a_keyword() {
    let item = CONSUMER.replace("tell", "r#yield");
    insta::assert_snapshot!(submitted("on_error = \"abort\"", &item), @r#"
    fn submitted() {
        ::events_sea_orm::__private::RegisteredConsumer(|| {
            ::events_sea_orm::Subscription::in_transaction(r#yield).named("yield")
        })
    }
    "#);
}

#[test]
fn consumer_that_is_not_always_there() {
    let attributes = "/// Tells.
        #[cfg(unix)] #[cfg_attr(a, inline, cfg(b), cfg_attr(c, cfg(d), cold))] #[cfg_attr(e, inline)]
        #[cfg_attr(true, cfg(f))] #[inline]";
    let items = event_consumer("", &format!("{attributes} {CONSUMER}"));
    let Item::Const(item) = &items[0] else { panic!("{}", text(&items)) };
    let attributes = &item.attrs;
    insta::assert_snapshot!(quote::quote!(#(#attributes)*).to_string(), @"# [cfg (unix)] # [cfg_attr (a , cfg (b) , cfg_attr (c , cfg (d)))] # [cfg_attr (true , cfg (f))]");
}

#[test]
fn a_crate_of_another_name() {
    let items = derive("team = context, crate = crate::journal", "#[track(rename = \"n\")] pub name: String");
    insta::assert_snapshot!(recorded(&items), @r#"
    fn recorded() {
        let fields = [
            crate::journal::Field::new(crate::journal::__private::column_name(&Column::Name))
                .renamed("n"),
        ];
    }
    "#);
}

/// After a mistake as well: what is written then must not cause another.
#[test]
fn no_output_names_the_library_where_the_model_does() {
    let path = "crate = crate::journal";
    for items in [
        derive(&format!("{TEAM}, {path}"), "#[track(with = f, state)] pub a: i32, #[track] pub b: i32"),
        derive(&format!("{TEAM}, {path}, behavior = \"custom\""), "#[track] pub a: i32"),
        derive(path, "#[track] pub a: i32"),
        derive(&format!("{path}, team = context, behavior = \"own\""), "#[track] pub a: i32"),
        derive(&format!("{path}, team = "), "#[track] pub a: i32"),
        tracked_behavior(path, HOOKS),
        tracked_behavior(path, "fn before_update() {}"),
        event_consumer(&format!("{path}, on(Created), on_error = \"log\", time_budget_ms = 1"), CONSUMER),
        event_consumer(
            &format!("{path}, delivery = \"after_commit\""),
            "impl Consumer<EventConnection> for Tell {}",
        ),
    ] {
        let output: String = items.iter().map(|item| item.to_token_stream().to_string()).collect();
        assert!(output.contains("crate :: journal"), "{output}");
        assert!(!output.contains("events_sea_orm"), "{output}");
    }
}

#[test]
fn thread() {
    let thread = "thread(object_type = \"customer\", id = \"customer_id\", scope = \"campaign_id\")";
    let fields = "#[track(label = \"full name\", format = shown)] pub name: String, pub customer_id: i32, pub campaign_id: i32";
    let items = derive(&format!("{TEAM}, {thread}"), fields);
    insta::assert_snapshot!(body("definition", &items), @r#"
    fn definition() {
        static DEFINITION: ::std::sync::LazyLock<::events_sea_orm::Definition> = ::std::sync::LazyLock::new(||
        {
            ::events_sea_orm::Definition::new::<
                Entity,
            >(
                    "campaigns",
                    ::events_sea_orm::TeamSource::Column(
                        ::events_sea_orm::__private::column_name(&Column::TeamId),
                    ),
                    ::std::vec![
                        ::events_sea_orm::Field::new(::events_sea_orm::__private::column_name(&
                        Column::Name)).labeled("full name")
                        .formatted(::events_sea_orm::Format::With(shown))
                    ],
                )
                .in_thread(::events_sea_orm::ThreadSource {
                    object_type: ::core::option::Option::Some("customer"),
                    id: ::std::vec![
                        ::events_sea_orm::__private::column_name(& Column::CustomerId)
                    ],
                    scope: ::core::option::Option::Some(
                        ::events_sea_orm::__private::column_name(&Column::CampaignId),
                    ),
                })
        });
        &DEFINITION
    }
    "#);
}
