//! The heap of a plugin. Each call has a fresh instance, and a guest that has to ask for memory makes
//! the server turn to its kernel in each of them; so the first piece is there from the start.

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32::memory_grow,
    cell::{Cell, UnsafeCell},
    ptr,
};

use dlmalloc::{Allocator, Dlmalloc};

const PAGE_BYTES: usize = 64 << 10;

/// More than most calls need. It takes no place in the component and no time while it is not used.
const FIRST_BYTES: usize = 128 << 10;

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Source::new())));

struct Heap(UnsafeCell<Dlmalloc<Source>>);

// SAFETY: a plugin has one thread.
unsafe impl Sync for Heap {}

impl Heap {
    /// # Safety
    /// The last one that this gave out is not used any more.
    #[expect(clippy::mut_from_ref, reason = "the one thread is within one call of it at a time")]
    unsafe fn get(&self) -> &mut Dlmalloc<Source> {
        // SAFETY: as the caller promises.
        unsafe { &mut *self.0.get() }
    }
}

// SAFETY: all of it is the inner allocator's, which keeps the rules of the trait; and it calls
// nobody who might allocate.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { self.get().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { self.get().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { self.get().free(place, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        unsafe { self.get().realloc(place, layout.size(), layout.align(), new_size) }
    }
}

/// All zeros and a static of its own, so that the component does not hold it.
static FIRST: First = First(UnsafeCell::new([0; FIRST_BYTES]));

#[repr(align(16))]
struct First(UnsafeCell<[u8; FIRST_BYTES]>);

// SAFETY: a plugin has one thread.
unsafe impl Sync for First {}

/// Where the heap's memory comes from.
struct Source {
    is_first_taken: Cell<bool>,
}

impl Source {
    const fn new() -> Self {
        Self { is_first_taken: Cell::new(false) }
    }
}

// SAFETY: the first piece is handed out once, whole, and never taken back; so is what grows.
unsafe impl Allocator for Source {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size <= FIRST_BYTES && !self.is_first_taken.replace(true) {
            return (FIRST.0.get().cast(), FIRST_BYTES, 0);
        }
        let pages = size.div_ceil(PAGE_BYTES);
        let grown = |before: usize| {
            let start = before.checked_mul(PAGE_BYTES)?;
            // Rust has no pointers past the end of the address space.
            start.checked_add(pages * PAGE_BYTES).map(|_| ptr::with_exposed_provenance_mut(start))
        };
        // Where there is no more it answers the highest number.
        match grown(memory_grow::<0>(pages)) {
            Some(start) => (start, pages * PAGE_BYTES, 0),
            None => (ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE_BYTES
    }
}
