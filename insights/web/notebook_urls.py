"""The addresses of an account's notes and saved views, below /a/<uuid>/."""

from __future__ import annotations

from django.urls import path

from insights.web import notes, saved_views

urlpatterns = [
    path("notes/", notes.note_list, name="note-list"),
    path("notes.csv", notes.notes_csv, name="notes-csv"),
    path("notes/add/", notes.note_add, name="note-add"),
    path("notes/<uuid:note_uuid>/", notes.note_detail, name="note-detail"),
    path("notes/<uuid:note_uuid>/delete/", notes.note_delete, name="note-delete"),
    path("views/", saved_views.view_list, name="view-list"),
    path("views/save/", saved_views.view_save, name="view-save"),
    path("views/<uuid:view_uuid>/", saved_views.view_open, name="view-open"),
    path("views/<uuid:view_uuid>/change/", saved_views.view_change, name="view-change"),
    path("views/<uuid:view_uuid>/delete/", saved_views.view_delete, name="view-delete"),
]
