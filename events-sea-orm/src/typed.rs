//! Finding out what a generic parameter really is.

use std::any::TypeId;

/// `value` as a `T`, if that is what it is.
///
/// SeaORM's hooks and statements are generic over types that need not be `'static`, which `Any` would ask for. Where
/// `U` borrows, its lifetimes come out as `'static`: the caller shortens them to that of `value` at once.
#[allow(unsafe_code)]
pub(crate) fn downcast_ref<T: 'static, U: ?Sized>(value: &U) -> Option<&T> {
    if typeid::of::<U>() == TypeId::of::<T>() {
        // SAFETY: both are the same type up to lifetimes, and what comes out lives no longer than `value`.
        Some(unsafe { &*std::ptr::from_ref(value).cast::<T>() })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_type_is_found() {
        assert_eq!(downcast_ref::<i32, _>(&7), Some(&7));
        assert_eq!(downcast_ref::<u32, _>(&7_i32), None);
        let text = String::from("a");
        assert_eq!(downcast_ref::<&'static str, _>(&text.as_str()).map(|s| s.len()), Some(1));
    }
}
